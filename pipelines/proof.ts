import type { Plan, Step } from "./step.ts";

/** Where a step's work has been seen to be right. */
export interface StepProof {
  readonly step: string;
  /** "tests": its program runs in the test suites, on small inputs of the same kind; "runner": only where the real inputs can be had. */
  readonly where: "tests" | "runner";
  /** What exactly, in one line. */
  readonly what: string;
}

/** What a build says of itself: which parts of a recipe on a container base the suites have run, and which only a connected runner does. */
const proofs: readonly { readonly step: RegExp; readonly where: StepProof["where"]; readonly what: string }[] = [
  { step: /^fetch\.build$|^root\.build$/, where: "tests", what: "the same steps as for Debian recipes, which every build runs" },
  { step: /^fetch\./, where: "runner", what: "the client and its refusals run against a registry and a repository on loopback" },
  { step: /^bundle\.|^sbom\.(?!image$)/, where: "tests", what: "the same steps as for Debian recipes, which every build runs" },
  {
    step: /^(base|packages|modules\.[a-z0-9]+|modules\.[a-z0-9]+\.image|policy|kernel-arguments|tree|lint|image|sbom\.image)$/,
    where: "tests",
    what: "its program runs on a small image, packages and modules made in the test; not on Fedora's, of which no byte is here",
  },
  { step: /^imageBuilder$/, where: "runner", what: "unpacks as a base does; the builder's own image was not seen" },
  {
    step: /^disk$/,
    where: "runner",
    what: "calls the image builder, which needs the devices of a machine; its program runs on stand-ins",
  },
];

function proofOf({ id }: Step): StepProof {
  const found = proofs.find(({ step }) => step.test(id));
  if (found === undefined) return { step: id, where: "runner", what: "nothing is known of this step" };
  return { step: id, where: found.where, what: found.what };
}

/** One line of proof for each step. */
export function planProof({ steps }: Pick<Plan, "steps">): readonly StepProof[] {
  return steps.map(proofOf);
}

/** For people: steps with the same proof on one line. */
export function proofText(proof: readonly StepProof[]): string {
  const groups = new Map<string, string[]>();
  for (const { step, where, what } of proof) {
    const said = `${where}: ${what}`;
    groups.set(said, [...(groups.get(said) ?? []), step]);
  }
  const rows = [...groups].map(([said, steps]) => `  ${said}\n    ${steps.join(", ")}\n`);
  return `proven where\n${rows.join("")}`;
}
