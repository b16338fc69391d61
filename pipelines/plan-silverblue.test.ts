import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { describe, expect, test } from "vitest";
import type { Cache } from "./engine/cache.ts";
import { checkPlan } from "./engine/check-plan.ts";
import { createLocalEngine } from "./engine/local.ts";
import { recordedSteps, timedSteps } from "./engine/recorded.ts";
import { neededSteps } from "./engine/resolve.ts";
import { sandboxCommand } from "./engine/sandbox.ts";
import { simulate } from "./engine/simulate.ts";
import { bootcFixture } from "./lock/bootc-lock.test-data.ts";
import type { BootcLock } from "./lock/bootc-lock.ts";
import { parseBootcLock } from "./lock/load.ts";
import { lockPath } from "./lock/lock.ts";
import { composePlan } from "./plan.ts";
import { type BootcPlanInputs, bootcEpoch, bootcOutputs, bootcPlanSteps } from "./plan-silverblue.ts";
import { planProof, proofText } from "./proof.ts";
import { type BootcRecipe, isBootc, loadRecipe } from "./recipe/recipe.ts";
import { referencesOf } from "./sources.ts";
import type { ExecStep, Plan, StepRecord } from "./step.ts";
import type { NpmLock } from "./steps/closure.ts";

const top = dirname(import.meta.dirname);
const npm = JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")) as NpmLock;

/** The fixture with one tool: what tools there are is another test's business. */
const lock: BootcLock = { ...bootcFixture, roots: { build: (bootcFixture.roots.build ?? []).slice(0, 1) } };

async function inputs(change: Partial<BootcRecipe> = {}, ofLock: BootcLock = lock): Promise<BootcPlanInputs> {
  const recipe = await loadRecipe(top, "recipes/silverblue-42.yaml");
  if (!isBootc(recipe)) throw new Error("another kind");
  const releaseKey = "-----BEGIN PUBLIC KEY-----\nfixture\n-----END PUBLIC KEY-----\n";
  return {
    recipe: { ...recipe, ...change },
    lock: ofLock,
    npm,
    releaseKey,
    revision: "0".repeat(40),
    sourceDateEpoch: bootcEpoch(ofLock),
  };
}

const digests = (names: readonly string[]): Record<string, Sha256> =>
  Object.fromEntries(names.map((name) => [name, sha256(`content of ${name}`)]));

async function makePlan(change: Partial<BootcRecipe> = {}, ofLock: BootcLock = lock): Promise<Plan> {
  const given = await inputs(change, ofLock);
  const steps = bootcPlanSteps(given);
  const { sources, programs } = referencesOf(steps);
  return composePlan(given, { files: digests(sources), programs: digests(programs) }, steps, bootcOutputs(given.recipe));
}

const stepOf = ({ steps }: Plan, id: string): ExecStep => {
  const step = steps.find((candidate) => candidate.id === id);
  if (step?.kind !== "exec") throw new Error(`no step ${id}`);
  return step;
};
const flagOf = ({ run }: ExecStep, name: string): string | undefined => run[run.indexOf(`--${name}`) + 1];

describe("the plan of a recipe on a container base", () => {
  test("refuses a GPU backend that it cannot build", async () => {
    await expect(makePlan({ gpuBackends: ["cpu", "cuda"] })).rejects.toMatchObject({ code: "PLAN_UNSUPPORTED", exit: 2 });
  });

  test("refuses a source without a digest", async () => {
    const given = await inputs();
    const none = { files: { "image/common": undefined as unknown as Sha256 }, programs: {} };
    expect(() => composePlan(given, none, bootcPlanSteps(given), {})).toThrow(
      expect.objectContaining({ code: "PLAN_UNRESOLVED" }),
    );
  });

  test("has no step that the local engine would run with the devices of this machine", async () => {
    const plan = await makePlan();
    const cacheDir = mkdtempSync(join(tmpdir(), "secai-plan-"));
    try {
      const engine = createLocalEngine({
        ...{ cacheDir, top, keyring: () => "", programs: async () => "" },
        fetcher: () => Promise.reject(new Error("nothing is fetched for a build that is refused")),
      });
      const refused = engine.run(plan, { report: () => {} });
      await expect(refused).rejects.toMatchObject({
        code: "STEP_NEEDS_RUNNER",
        exit: 3,
        message: expect.stringContaining("disk"),
      });
    } finally {
      rmSync(cacheDir, { recursive: true });
    }
  });

  test("gives a network to fetch steps and to nothing else, and the devices of a machine to the image builder alone", async () => {
    const { steps } = await makePlan();
    expect(steps.filter(({ network }) => network === "fetch").map(({ id }) => id)).toEqual([
      "fetch.build",
      "fetch.base",
      "fetch.rpms",
      "fetch.modules.nvidia",
      "fetch.imageBuilder",
    ]);
    const machine = steps.filter((step) => step.kind === "exec" && step.privileges === "machine");
    expect(machine.map(({ id }) => id)).toEqual(["disk"]);
  });

  test("names no image but by digest", async () => {
    const plan = await makePlan();
    for (const id of ["base", "modules.nvidia.image", "image", "imageBuilder"])
      expect(flagOf(stepOf(plan, id), "digest")).toMatch(/^sha256:[0-9a-f]{64}$/);
    const files = plan.steps.flatMap((step) => (step.kind === "fetch" && step.id !== "fetch.build" ? step.files : []));
    const addresses = files.map(({ archive, path }) => `${archive} ${path}`);
    expect(addresses.filter((address) => !/@|sha256:[0-9a-f]{64}$|\.rpm$/.test(address))).toEqual([]);
  });

  test("holds no secret", async () => {
    const { steps } = await makePlan();
    expect(steps.flatMap((step) => (step.kind === "exec" ? Object.keys(step.secrets) : []))).toEqual([]);
  });

  test("lays the policy and the arguments over every folder, and the experimental variant over all", async () => {
    const laid = (plan: Plan) => Object.entries(stepOf(plan, "tree").inputs).filter(([path]) => path.startsWith("/in/overlay/"));
    const names = laid(await makePlan()).map(([, input]) =>
      input.kind === "source" ? input.path : input.kind === "output" ? input.step : "",
    );
    expect(names).toEqual(["image/common", "image/silverblue", "modules.nvidia", "policy", "kernel-arguments"]);
    const sealed = laid(await makePlan({ sealed: "experimental upstream" })).at(-1)?.[1];
    expect(sealed).toEqual({ kind: "source", path: "image/silverblue-sealed" });
  });

  test("leaves out what the recipe does not ask for", async () => {
    const plan = await makePlan({ modules: [], outputs: ["oci"] });
    const ids = plan.steps.map(({ id }) => id);
    expect(ids.filter((id) => /module|disk|imageBuilder/.test(id))).toEqual([]);
    expect(Object.keys(plan.outputs).filter((name) => /disk|modules/.test(name))).toEqual([]);
  });

  test("is the same value for the same inputs", async () => expect(await makePlan()).toEqual(await makePlan()));

  test("can be run by both engines: its order, its paths, and every sandbox by a command line", async () => {
    const plan = await makePlan();
    expect(() => checkPlan(plan)).not.toThrow();
    for (const step of plan.steps) {
      if (step.kind !== "exec") continue;
      const binds = Object.keys(step.inputs).map((dst) => ({ src: "/x", dst, writable: false }));
      // As on a machine that sees the tools elsewhere than the one that lists them.
      const root = { kind: "tree", path: top, seenAt: "/place/tools" } as const;
      const { run: argv, env, privileges, network } = step;
      const command = sandboxCommand({ root, argv, binds, env, network, privileges }, 0);
      expect(command).toContain("--unshare-net");
      expect(command.slice(-argv.length)).toEqual(argv);
      expect(command.includes("ALL") && command.includes("--dev-bind")).toBe(privileges === "machine");
    }
  });

  test("has a critical path through base, packages, tree, image and disk", async () => {
    const plan = await makePlan();
    const needed = neededSteps(
      plan,
      Object.values(plan.outputs).map(({ step }) => step),
    );
    let asked = -1;
    const lookup = async (key: Sha256): Promise<StepRecord | undefined> => {
      const step = needed[++asked];
      if (step === undefined) return undefined;
      const names = step.kind === "exec" ? Object.entries(step.outputs) : [];
      const outputs = Object.fromEntries(names.map(([name, { type }]) => [name, { digest: key, type, size: 1 }]));
      const times = { startedOn: "2026-01-01T00:00:00.000Z", finishedOn: "2026-01-01T00:00:01.000Z" };
      return { id: step.id, key, step, inputs: [], outputs, ...times, cached: false, engine: "dagger", drift: [] };
    };
    const { records, missing } = await recordedSteps(plan, { lookup } as unknown as Cache);
    expect(missing).toEqual([]);
    const { criticalPath, byWorkers } = simulate(timedSteps(records), [1, 8]);
    expect(criticalPath.filter((id) => !id.startsWith("fetch.") && !id.startsWith("root."))).toEqual([
      ...["base", "packages", "modules.nvidia", "tree", "lint", "image", "disk"],
    ]);
    expect(byWorkers[1]?.wallMs).toBeLessThan(byWorkers[0]?.wallMs ?? 0);
  });

  test("says of every step where it is proven", async () => {
    const plan = await makePlan();
    const proof = planProof(plan);
    expect(proof.filter(({ what }) => what.startsWith("nothing is known"))).toEqual([]);
    expect(proof.filter(({ where }) => where === "runner").map(({ step }) => step)).toEqual([
      ...["fetch.base", "fetch.rpms", "fetch.modules.nvidia", "fetch.imageBuilder", "imageBuilder", "disk"],
    ]);
    expect(planProof({ steps: [{ ...stepOf(plan, "lint"), id: "new" }] })).toMatchObject([{ where: "runner" }]);
    expect(proofText(proof)).toContain("\n    base, packages, modules.nvidia.image, modules.nvidia, policy");
  });

  test("is a preview as long as the lock is unresolved: the same steps, in a valid order", async () => {
    const open = parseBootcLock(readFileSync(join(top, lockPath("silverblue-42")), "utf8"));
    const preview = await makePlan({}, open);
    expect(() => checkPlan(preview)).not.toThrow();
    expect(preview.steps.map(({ id }) => id)).toEqual((await makePlan()).steps.map(({ id }) => id));
    expect(flagOf(stepOf(preview, "base"), "digest")).toBe("unresolved");
  });

  test("is the plan in test/vectors/plan/silverblue-42.json", async () => {
    const path = join(top, "test/vectors/plan/silverblue-42.json");
    const text = `${JSON.stringify(await makePlan(), null, 2)}\n`;
    if (!existsSync(path)) {
      writeFileSync(path, text);
      throw new Error(`${path} was missing and is written now: read it, then run the test again`);
    }
    expect(text).toBe(readFileSync(path, "utf8"));
  });
});
