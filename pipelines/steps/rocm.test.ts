import { expect, test } from "vitest";
import { requireNames } from "../backends/rocm/cmake.ts";
import { outputOf } from "./exec.ts";
import { ROCM_ARCHITECTURES, rocmStep } from "./rocm.ts";

const source = { name: "node-llama-cpp", version: "3.22.1" };
const step = rocmStep({ tools: outputOf("root.rocm", "root"), toolRoot: "rocm", source, sourceDateEpoch: 1_700_000_000 });
const flag = (name: string) => step.run[step.run.indexOf(`--${name}`) + 1] ?? "";

test("the ROCm backend is compiled without a network and without privileges, in its own tool root", () =>
  expect(step).toMatchObject({
    id: "backend.rocm",
    network: "none",
    privileges: "none",
    tools: { step: "root.rocm", output: "root" },
  }));

test("sources come from the locked package, patches from the repository, and nothing else goes in", () => {
  expect(flag("sources")).toBe("/in/npm/node-llama-cpp-3.22.1.tgz");
  expect(flag("lock")).toBe("npm:node-llama-cpp@3.22.1");
  expect(step.inputs[flag("patches")]).toEqual({ kind: "source", path: "pipelines/backends/rocm/patches" });
  expect(Object.keys(step.inputs).sort()).toEqual(["/in/node", "/in/npm", "/in/patches", "/in/program.mjs"]);
});

test("the compiler's cache is a folder that the step may keep", () =>
  expect(Object.keys(step.caches ?? {})).toEqual([flag("ccache")]));

test("the ROCm backend is compiled for GPUs that exist", () =>
  expect(requireNames(flag("architectures").split(","))).toBeUndefined());

test("every GPU is asked for once", () => expect(new Set(ROCM_ARCHITECTURES).size).toBe(ROCM_ARCHITECTURES.length));
