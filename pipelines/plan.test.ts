import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { describe, expect, test } from "vitest";
import type { Lock, LockedPackage } from "./lock/lock.ts";
import { type PlanInputs, plan, planSteps } from "./plan.ts";
import { loadDebianRecipe } from "./recipe/recipe.ts";
import { referencesOf } from "./sources.ts";
import type { ExecStep, Plan } from "./step.ts";
import type { NpmLock } from "./steps/closure.ts";

const top = dirname(import.meta.dirname);

const locked = (name: string): LockedPackage => ({
  name,
  version: "1.0-1",
  architecture: "amd64",
  archive: "debian",
  path: `pool/main/${name}/${name}_1.0-1_amd64.deb`,
  size: 1000,
  sha256: sha256(name),
});

const lock: Lock = {
  schema: 1,
  recipe: "debian-13",
  architecture: "amd64",
  requested: { image: ["systemd"], build: ["mmdebstrap"], machine: ["qemu-system-x86"], "extension.vulkan": ["libvulkan1"] },
  archives: [],
  roots: {
    image: [locked("systemd")],
    build: [locked("mmdebstrap")],
    machine: [locked("qemu-system-x86")],
    "extension.vulkan": [locked("libvulkan1")],
  },
  npm: ["linux-x64", "linux-x64-vulkan"].map((name) => ({
    ...{ name: `@node-llama-cpp/${name}`, version: "3.22.1", path: `@node-llama-cpp/${name}/-/${name}-3.22.1.tgz` },
    ...{ size: 1000, sha256: sha256(name), integrity: "sha512-x" },
  })),
};

const certificates = { "PK.crt": "PK", "KEK.crt": "KEK", "db.crt": "db", "pcr.pub": "pcr", guid: "guid" };
const npm = JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")) as NpmLock;

async function inputs(change: Partial<PlanInputs["recipe"]> = {}): Promise<PlanInputs> {
  const recipe = { ...(await loadDebianRecipe(top, "recipes/debian-13.yaml")), ...change };
  return {
    recipe,
    lock,
    npm,
    sourceDateEpoch: 1_760_000_000,
    keys: { publicFiles: certificates, identity: (name) => sha256(name) },
  };
}

/** Digests that stand in for what lies on disk. */
function digests(names: readonly string[]): Record<string, Sha256> {
  return Object.fromEntries(names.map((name) => [name, sha256(`content of ${name}`)]));
}

async function makePlan(change: Partial<PlanInputs["recipe"]> = {}): Promise<Plan> {
  const given = await inputs(change);
  const { sources, programs } = referencesOf(planSteps(given));
  return plan(given, { files: digests(sources), programs: digests(programs) });
}

describe("plan", () => {
  test.each([
    ["a GPU backend it cannot build", { gpuBackends: ["cpu", "cuda"] as const }],
    ["an output it cannot build", { outputs: ["raw.zst", "floppy"] as unknown as PlanInputs["recipe"]["outputs"] }],
  ])("refuses %s", async (_, change) => {
    await expect(makePlan(change)).rejects.toMatchObject({ code: "PLAN_UNSUPPORTED", exit: 2 });
  });

  test("refuses a source without a digest", async () => {
    const given = await inputs();
    expect(() => plan(given, { files: {}, programs: { tree: undefined as unknown as Sha256 } })).toThrow(
      expect.objectContaining({ code: "PLAN_UNRESOLVED" }),
    );
  });

  test("is the same value for the same inputs", async () => {
    expect(await makePlan()).toEqual(await makePlan());
  });

  test("writes the image's SBOM in the recipe's version of CycloneDX, 1.6 unless it says so", async () => {
    const versionOf = ({ steps }: Plan) => {
      const step = steps.find(({ id }) => id === "sbom.image") as ExecStep;
      return step.run[step.run.indexOf("--cyclonedx") + 1];
    };
    expect(versionOf(await makePlan())).toBe("1.6");
    expect(versionOf(await makePlan({ cycloneDx: "1.7" }))).toBe("1.7");
  });

  test("gives a network to fetch steps and to nothing else", async () => {
    const { steps } = await makePlan();
    const fetches = steps.filter((step) => step.network === "fetch");
    expect(fetches.map(({ kind, id }) => `${kind} ${id}`).toSorted()).toEqual(
      ["fetch.build", "fetch.extension.vulkan", "fetch.image", "fetch.npm"].map((id) => `fetch ${id}`),
    );
    expect(steps.filter((step) => step.kind === "exec").every((step) => step.network === "none")).toBe(true);
  });

  test("stands in an order in which it can run", async () => {
    const { steps, outputs } = await makePlan();
    const made = new Set<string>();
    for (const step of steps) {
      for (const name of step.kind === "exec" ? needs(step) : []) expect(made, `${step.id} needs ${name}`).toContain(name);
      for (const name of step.kind === "exec" ? Object.keys(step.outputs) : [""])
        made.add(name === "" ? step.id : `${step.id}/${name}`);
    }
    for (const { step, output } of Object.values(outputs)) expect(made).toContain(`${step}/${output}`);
  });

  test("shows no private key, only the digest of its public half", async () => {
    const { steps } = await makePlan();
    const secrets = steps.flatMap((step) => (step.kind === "exec" ? Object.values(step.secrets) : []));
    expect(secrets).toEqual([
      { name: "db.key", identity: sha256("db.key") },
      { name: "pcr.key", identity: sha256("pcr.key") },
      // The installer's kernel image is signed as well; it opens nothing that an appliance sealed.
      { name: "db.key", identity: sha256("db.key") },
    ]);
  });

  test("is the plan in test/vectors/plan/debian-13.json", async () => {
    const path = join(top, "test/vectors/plan/debian-13.json");
    const text = `${JSON.stringify(await makePlan(), null, 2)}\n`;
    if (!existsSync(path)) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
      throw new Error(`${path} was missing and is written now: read it, then run the test again`);
    }
    expect(text).toBe(readFileSync(path, "utf8"));
  });
});

function needs(step: ExecStep): string[] {
  const inputs = Object.values(step.inputs).flatMap((input) =>
    input.kind === "output" ? [`${input.step}/${input.output}`] : input.kind === "fetched" ? [input.step] : [],
  );
  return step.tools.kind === "output" ? [`${step.tools.step}/${step.tools.output}`, ...inputs] : inputs;
}
