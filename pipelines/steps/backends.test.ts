import { expect, test } from "vitest";
import { codeNames } from "../backends/cuda.ts";
import { CUDA_ARCHITECTURES, cudaStep, gpuBackendsStep, npmBackendStep } from "./backends.ts";
import { outputOf } from "./exec.ts";

const runtime = { name: "@node-llama-cpp/linux-x64", version: "3.22.1" };
const sourceDateEpoch = 1_700_000_000;

/** Flags of a step's program. */
function flagsOf({ run }: { readonly run: readonly string[] }): Readonly<Record<string, string>> {
  const flags = run.slice(2);
  return Object.fromEntries(flags.flatMap((name, index) => (index % 2 === 0 ? [[name.slice(2), flags[index + 1] ?? ""]] : [])));
}

test("steps of backends have no network and no privileges, and are named after their backend", () => {
  const source = { name: "node-llama-cpp", version: "3.22.1" };
  const cuda = cudaStep({ tools: outputOf("root.cuda", "root"), toolRoot: "cuda", source, sourceDateEpoch });
  const cpu = npmBackendStep({ backend: "cpu", source: runtime, runtime, sourceDateEpoch });
  expect([cuda, cpu].map(({ id, network, privileges }) => [id, network, privileges])).toEqual([
    ["backend.cuda", "none", "none"],
    ["backend.cpu", "none", "none"],
  ]);
  expect(flagsOf(cuda)).toMatchObject({ sources: "/in/npm/node-llama-cpp-3.22.1.tgz", lock: "npm:node-llama-cpp@3.22.1" });
  expect(Object.keys(cuda.caches ?? {})).toEqual([flagsOf(cuda).ccache]);
});

test("the CUDA backend is compiled for architectures that exist", () =>
  expect(codeNames(CUDA_ARCHITECTURES)).toEqual(["compute_75"]));

test("the list of backends sees the trees of the root in their order and every extension", () => {
  const step = gpuBackendsStep({
    runtime,
    declared: ["cpu", "cuda"],
    places: { cpu: "root", cuda: "extension:cuda" },
    root: [outputOf("runtime", "tree"), outputOf("root.image", "root")],
    backends: { cpu: outputOf("backend.cpu", "backend"), cuda: outputOf("backend.cuda", "backend") },
    extensions: { cuda: outputOf("extension.cuda", "tree") },
    architecture: "amd64",
    sourceDateEpoch,
  });
  const flags = flagsOf(step);
  expect(flags).toMatchObject({ declared: "cpu,cuda", places: "cpu=root,cuda=extension:cuda", multiarch: "x86_64-linux-gnu" });
  expect(flags.root?.split(",").map((path) => step.inputs[path])).toEqual([
    outputOf("runtime", "tree"),
    outputOf("root.image", "root"),
  ]);
  expect(step.inputs["/in/extensions/cuda"]).toEqual(outputOf("extension.cuda", "tree"));
  expect(step.inputs["/in/backends/cuda"]).toEqual(outputOf("backend.cuda", "backend"));
});
