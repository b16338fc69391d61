import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { checkLock } from "./lock/check-lock.ts";
import { loadLock } from "./lock/load.ts";
import { architectureOf, lockPath } from "./lock/lock.ts";
import { type PlanInputs, planSteps } from "./plan.ts";
import { loadDebianRecipe } from "./recipe/recipe.ts";
import type { ExecStep } from "./step.ts";
import type { NpmLock } from "./steps/closure.ts";

// The plan of the arm64 recipe with its real lock, by what differs from the amd64 one.

const top = dirname(import.meta.dirname);
const npm = JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")) as NpmLock;

async function inputsOf(id: string): Promise<PlanInputs> {
  return {
    recipe: await loadDebianRecipe(top, `recipes/${id}.yaml`),
    lock: await loadLock(join(top, lockPath(id))),
    npm,
    sourceDateEpoch: 1_760_000_000,
    keys: {
      publicFiles: { "PK.crt": "PK", "KEK.crt": "KEK", "db.crt": "db", "pcr.pub": "pcr", guid: "guid" },
      identity: (name) => sha256(name),
    },
  };
}

const arm = await inputsOf("debian-13-arm64");
const steps = planSteps(arm);
const others = planSteps(await inputsOf("debian-13"));
const execOf = (list: readonly (typeof steps)[number][]): ReadonlyMap<string, ExecStep> =>
  new Map(list.flatMap((step) => (step.kind === "exec" ? [[step.id, step] as const] : [])));
const flagOf = (id: string, flag: string): string | undefined => {
  const run = execOf(steps).get(id)?.run ?? [];
  return run[run.indexOf(`--${flag}`) + 1];
};

test("the lock is this recipe's: image for arm64, tools for the builder", () => {
  expect(checkLock(arm.recipe, arm.lock)).toEqual([]);
  const architectures = (root: string) => [...new Set(arm.lock.roots[root]?.map(({ architecture }) => architecture))].sort();
  expect(architectures("image")).toEqual(["all", "arm64"]);
  expect(architectures("build")).toEqual(["all", "amd64"]);
  expect(architectures("machine")).toEqual(["all", "amd64"]);
  expect(architectureOf(arm.lock, "image")).toBe("arm64");
});

const mixed = [
  { name: "tools of the image's architecture", change: { toolArchitecture: "arm64" }, code: "ARCHITECTURE_DIFFERS" },
  { name: "an image of the tools' architecture", change: { architecture: "amd64" }, code: "PACKAGE_FOREIGN" },
];
for (const { name, change, code } of mixed) {
  test(`a lock with ${name} is not this recipe's`, () => {
    expect(checkLock(arm.recipe, { ...arm.lock, ...change }).map((problem) => problem.code)).toContain(code);
  });
}

test("it leaves out what only amd64 has, and adds nothing", () => {
  const ids = new Set(steps.map(({ id }) => id));
  const extensions = ({ id }: { readonly id: string }) => /(^|\.)extension[.s]|vulkan/.test(id) && id !== "bundle.extensions";
  const missing = others.filter((step) => !ids.has(step.id) && !extensions(step)).map(({ id }) => id);
  expect(missing).toEqual(["ova"]);
  expect(steps.filter(({ id }) => !others.some((other) => other.id === id)).map(({ id }) => id)).toEqual([]);
});

test("the packages' own scripts are emulated for the image alone", () => {
  expect(flagOf("root.image", "how")).toBe("emulated");
  expect(flagOf("root.image", "architecture")).toBe("arm64");
  expect(flagOf("root.build", "how")).toBe("unpacked");
  expect(flagOf("root.build", "architecture")).toBe("amd64");
});

test("on a builder of the image's own architecture nothing is emulated", async () => {
  const { toolArchitecture: _, ...base } = arm.recipe.base;
  const native = planSteps({ ...arm, recipe: { ...arm.recipe, base } });
  expect(execOf(native).get("root.image")?.run).toContain("installed");
  expect(execOf(native).get("root.build")?.run).toContain("arm64");
});

test("bundles are the very same steps: services are for no processor in particular", () => {
  const bundles = [...execOf(others)].filter(([id]) => id.startsWith("bundle."));
  expect(bundles.length).toBeGreaterThan(5);
  for (const [id, step] of bundles) expect(execOf(steps).get(id), id).toEqual(step);
});

test("kernel, console, initrd and runtime are those of the board", () => {
  expect(flagOf("uki", "arguments")).toMatch(/(^| )console=ttyAMA0( |$)/);
  expect(flagOf("uki", "arguments")).not.toContain("ttyS0");
  expect(flagOf("initrd", "modules")?.split(",")).toEqual(expect.arrayContaining(["sha2_ce", "sha256_arm64", "tpm_tis"]));
  expect(flagOf("backend.cpu", "package")).toBe("@node-llama-cpp/linux-arm64");
  expect(flagOf("gpu-backends", "multiarch")).toBe("aarch64-linux-gnu");
});
