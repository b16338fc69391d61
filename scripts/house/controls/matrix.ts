import { basename } from "node:path";
import type { Control, Controls } from "./controls.ts";
import type { Evidence } from "./evidence.ts";
import { markdownPage, markdownTable } from "./markdown.ts";
import { type ListedScenario, scenarioNamed } from "./scenarios.ts";
import type { CitedOutcome, SuiteStatement } from "./statements.ts";

/** One scenario that shows a control, and what the signed result of its suite says of it. */
export interface Proof {
  readonly control: Control;
  readonly scenario: ListedScenario;
  readonly cited: { readonly statement: SuiteStatement; readonly outcome: CitedOutcome } | undefined;
}

/** Every control's scenarios. @throws ControlError CONTROL_SCENARIO_UNKNOWN */
export function proofsOf(
  { controls }: Controls,
  scenarios: readonly ListedScenario[],
  evidence: Evidence | undefined,
): readonly Proof[] {
  return controls.flatMap((control) =>
    (control.scenarios ?? []).map((id) => {
      const scenario = scenarioNamed(id, scenarios, control.id);
      const statement = evidence?.statements.find(({ suite }) => suite === scenario.suite);
      const outcome = statement?.outcomes.get(id);
      return { control, scenario, cited: statement && outcome && { statement, outcome } };
    }),
  );
}

/** docs/control-matrix.md, whole. @throws ControlError CONTROL_SCENARIO_UNKNOWN */
export function matrixPage(controls: Controls, scenarios: readonly ListedScenario[], evidence: Evidence | undefined): string {
  const proofs = proofsOf(controls, scenarios, evidence);
  const unproven = controls.controls.filter((control) => control.reason !== undefined);
  return markdownPage([
    HEAD,
    "## Evidence",
    evidence === undefined ? NOTHING_RECORDED : evidenceSection(evidence),
    "## Controls",
    markdownTable(
      ["control", "what is promised", "kept by", "SP 800-53", "shown"],
      controls.controls.map((control) => controlRow(control, proofs)),
    ),
    "## Proofs",
    markdownTable(["control", "component", "scenario", "outcome", "statement"], proofs.map(proofRow)),
    ...(unproven.length === 0 ? [] : ["## Not proven here", markdownTable(["control", "why"], unproven.map(unprovenRow))]),
  ]);
}

const HEAD = `# Control matrix

What SecAI OS promises, which part keeps the promise, which scenario on the booted image shows it, and which signed statement says how that
scenario ended. Written by \`node scripts/control-matrix.ts --write\` from [controls.yaml](controls.yaml), the scenarios that the suites list, and
the statements in [evidence](evidence/README.md); lint compares. SP 800-53 names controls of NIST SP 800-53 revision 5 that a row helps
with, never one that it fulfils alone.

Scenarios run in virtual machines with UEFI Secure Boot and a software TPM. A row shows what its scenario's title says, on that image, and no
more.`;

const NOTHING_RECORDED =
  "No signed results are recorded. The scenarios below exist and say what they show; how they ended on an image is not known here.";

function evidenceSection({ release, key, statements }: Evidence): string {
  const tests = statements.map(({ suite, digest, finishedOn, accelerator, outcomes }) => {
    const count = (wanted: CitedOutcome) => [...outcomes.values()].filter((outcome) => outcome === wanted).length;
    const counts = `${count("passed")} passed, ${count("missing")} could not run, ${count("failed")} failed`;
    return [suite, `\`${digest}\``, finishedOn, accelerator, counts];
  });
  return markdownPage([
    `Release \`${release.release}\`, image \`sha256:${release.image}\`. Every statement is about that image and was verified with the key
\`${key.fingerprint}\`. A statement is named by the SHA-256 of the signed bytes; below by the first 16 digits.`,
    markdownTable(
      ["suite", "statement", "finished", "accelerator", "scenarios"],
      [["the release itself", `\`${release.digest}\``, "", "", ""], ...tests],
    ),
  ]).trimEnd();
}

function controlRow(control: Control, proofs: readonly Proof[]): readonly string[] {
  const links = control.components.map((path) => `[${basename(path)}](../${path})`).join(", ");
  const own = proofs.filter((proof) => proof.control === control);
  return [control.id, control.control, links, (control.references ?? []).join(", "), shown(own)];
}

/** "not proven here" unless there are scenarios; never "all passed" unless every one is cited and passed. */
function shown(proofs: readonly Proof[]): string {
  if (proofs.length === 0) return "not proven here";
  const cited = proofs.filter((proof) => proof.cited !== undefined);
  const failed = proofs.filter((proof) => proof.cited?.outcome === "failed");
  if (cited.length === 0) return `no result of ${proofs.length}`;
  if (failed.length > 0) return `**${failed.length} of ${proofs.length} failed**`;
  const passed = proofs.filter((proof) => proof.cited?.outcome === "passed");
  return `${passed.length} of ${proofs.length} passed`;
}

const OUTCOMES: Readonly<Record<CitedOutcome, string>> = {
  passed: "passed",
  failed: "**failed**",
  missing: "could not run on that host",
};

function proofRow({ control, scenario, cited }: Proof): readonly string[] {
  const { id, title, suite } = scenario;
  return [
    control.id,
    control.components.map((path) => basename(path)).join(", "),
    `\`${id}\` ${title}`,
    cited === undefined ? "no result" : OUTCOMES[cited.outcome],
    cited === undefined ? suite : `${suite} \`${cited.statement.digest.slice(0, 16)}\``,
  ];
}

const unprovenRow = ({ id, reason }: Control): readonly string[] => [id, reason ?? ""];
