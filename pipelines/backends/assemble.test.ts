import { type BackendRecord, gpuBackendsBytes } from "@secai/formats/gpu-backends";
import { expect, test } from "vitest";
import { type Assembly, assembleGpuBackends } from "./assemble.ts";

const digestOf = (digit: string) => digit.repeat(64);
const record = (name: BackendRecord["name"], path: string, digit: string): BackendRecord => ({
  name,
  version: "0.25.1",
  files: [{ path, sha256: digestOf(digit), size: 100 }],
  source: { kind: "npm", lock: [`npm:${name}@1.0.0`] },
  architectures: [],
  licences: ["MIT"],
  libraries: ["libc.so.6"],
});
const cpuFile = "/usr/lib/secure-ai/runtime/libggml-cpu-x64.so";
const cudaFile = "/usr/lib/secure-ai/backends/cuda/libggml-cuda.so";
const cpu = record("cpu", cpuFile, "1");
const cuda = record("cuda", cudaFile, "2");
/** The CPU's file in the root, and what stands in the extension. */
const inTrees = (...files: readonly (readonly [string, string, number?])[]): Assembly["libraries"] => ({
  root: new Map([[cpuFile, { sha256: digestOf("1"), size: 100 }]]),
  "extension:cuda": new Map(files.map(([path, digit, size = 100]) => [path, { sha256: digestOf(digit), size }])),
});

const good: Assembly = {
  runtime: {
    package: "@node-llama-cpp/linux-x64",
    version: "3.22.1",
    llamaCpp: "v0.5.0",
    ggml: "0.25.1",
    files: [{ path: "/usr/lib/secure-ai/runtime/libggml-base.so", sha256: "0".repeat(64), size: 1 }],
    licences: ["MIT"],
  },
  declared: ["cpu", "cuda"],
  records: [cuda, cpu],
  places: { cpu: "root", cuda: "extension:cuda" },
  libraries: inTrees([cudaFile, "2"]),
  unresolved: { cpu: [], cuda: [] },
};

const refused: readonly {
  readonly name: string;
  readonly change: Partial<Assembly>;
  readonly code: string;
  readonly says: RegExp;
}[] = [
  {
    name: "one backend file removed",
    change: { libraries: inTrees() },
    code: "GPU_BACKEND_MISSING",
    says: /libggml-cuda\.so of the backend cuda/,
  },
  {
    name: "a backend that lies elsewhere than where it should",
    change: { places: { cpu: "root", cuda: "root" } },
    code: "GPU_BACKEND_MISSING",
    says: /libggml-cuda\.so of the backend cuda.*in the root/,
  },
  { name: "a declared backend that no step made", change: { records: [cpu] }, code: "GPU_BACKEND_MISSING", says: /backend cuda/ },
  {
    name: "a declared backend that this build does not know",
    change: { declared: ["cpu", "cuda", "xpu"] },
    code: "GPU_BACKEND_MISSING",
    says: /backend xpu/,
  },
  {
    name: "a backend that was made and is not declared",
    change: { declared: ["cpu"] },
    code: "GPU_BACKEND_MISSING",
    says: /backend cuda/,
  },
  { name: "a backend without a place", change: { places: { cpu: "root" } }, code: "GPU_BACKEND_MISSING", says: /backend cuda/ },
  {
    name: "a library that was changed after its step",
    change: { libraries: inTrees([cudaFile, "3"]) },
    code: "GPU_BACKEND_UNHASHED",
    says: /libggml-cuda\.so of the backend cuda/,
  },
  {
    name: "a library of another size",
    change: { libraries: inTrees([cudaFile, "2", 99]) },
    code: "GPU_BACKEND_UNHASHED",
    says: /99 bytes/,
  },
  {
    name: "a library that no backend declares",
    change: { libraries: inTrees([cudaFile, "2"], ["/usr/lib/secure-ai/backends/cuda/libggml-rpc.so", "4"]) },
    code: "GPU_BACKEND_UNHASHED",
    says: /libggml-rpc\.so/,
  },
  {
    name: "a library that needs what is nowhere",
    change: { unresolved: { cpu: [], cuda: [{ file: cudaFile, needs: "libcudart.so.12" }] } },
    code: "GPU_BACKEND_UNLOADABLE",
    says: /libggml-cuda\.so needs libcudart\.so\.12/,
  },
  {
    name: "a backend of another ggml",
    change: { records: [cpu, { ...cuda, version: "0.26.0" }] },
    code: "GPU_BACKEND_UNLOADABLE",
    says: /backend cuda made of ggml 0\.25\.1.*0\.26\.0/,
  },
];
for (const { name, change, code, says } of refused) {
  test(`an image is refused with ${name}`, () => {
    const assemble = () => assembleGpuBackends({ ...good, ...change });
    expect(assemble).toThrow(expect.objectContaining({ code }));
    expect(assemble).toThrow(says);
  });
}

test("a backend whose libraries nobody looked at is a mistake of the build", () =>
  expect(() => assembleGpuBackends({ ...good, unresolved: { cpu: [] } })).toThrow(TypeError));

test("a long list of needs is cut", () => {
  const needs = Array.from({ length: 9 }, (_, index) => ({ file: cudaFile, needs: `lib${index}.so` }));
  expect(() => assembleGpuBackends({ ...good, unresolved: { cpu: [], cuda: needs } })).toThrow(/lib4\.so and 4 more/);
});

test("backends stand in the order in which the recipe declares them, each with its place", () => {
  const made = assembleGpuBackends(good);
  expect(made.backends.map(({ name, place }) => `${name} in ${place}`)).toEqual(["cpu in root", "cuda in extension:cuda"]);
  expect(gpuBackendsBytes(made).length).toBeGreaterThan(0);
});
