import { strict as assert } from "node:assert";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type GpuBackends, gpuBackendsBytes } from "@secai/formats/gpu-backends";
import { failedProbe, type Probe } from "@secai/formats/gpu-probe";
import { afterEach, beforeEach, test } from "vitest";
import { candidateOf, compare, type Request } from "./qualify.ts";
import type { GpuWorld, UsableDevice } from "./world.ts";

let tree = "";
beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), "secai-qualify-test-"));
});
afterEach(() => rmSync(tree, { recursive: true, force: true }));

const tokens = [1, 2, 3, 4, 5, 6, 7, 8];

const rtx: UsableDevice = {
  ...{ address: "0000:01:00.0", class: "030000", vendor: "10de", device: "2684", name: "NVIDIA GeForce RTX 4090" },
  ...{ driver: "nvidia", driver_version: "550.163.01", nodes: [], backends: ["cuda", "vulkan"] },
};

function put(name: string) {
  const path = `/usr/lib/secure-ai/backends/${name}/lib.so`;
  const content = `library of ${name}`;
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  writeFileSync(join(tree, path), content);
  return { path, sha256: sha256(content), size: content.length };
}

function declare(names: readonly ("cpu" | "cuda" | "vulkan")[]): GpuBackends {
  return {
    schema: 1,
    runtime: {
      ...{ package: "@example/runtime", version: "1.0.0", llamaCpp: "v0.5.0", ggml: "0.25.1" },
      ...{ files: [put("runtime")], licences: ["MIT"] },
    },
    backends: names.map((name) => {
      return {
        ...{ name, version: "0.25.1", place: "root", source: { kind: "compiled", lock: ["example"] } },
        ...{
          architectures: [],
          licences: ["MIT"],
          libraries: [],
          files: [put(name)],
        },
      };
    }),
  };
}

const ran = (backend: Probe["backend"], some: readonly number[] = tokens): Probe => ({
  ...{ backend, outcome: "ran", reason: "ran", devices: [], software: false, device: backend === "cpu" ? "CPU" : rtx.name },
  ...{ tokens: some, loadMs: 1, ms: 2, deviceBytes: backend === "cpu" ? 0 : 1000, memoryBytes: 24_000_000_000 },
});

interface Changes {
  readonly devices?: readonly UsableDevice[];
  readonly declared?: GpuBackends;
  readonly gpu?: Probe;
  readonly cpu?: Probe;
}

function worldOf({ devices = [rtx], declared = declare(["cpu", "cuda", "vulkan"]), gpu, cpu }: Changes): GpuWorld {
  return {
    devices: () => devices,
    declared: async (trees) => (trees.length === 0 ? undefined : { backends: declared, bytes: gpuBackendsBytes(declared) }),
    locate: (trees, path) => trees.map((one) => join(one, path)).find((full) => existsSync(full)),
    probe: async ({ backend }) => (backend === "cpu" ? (cpu ?? ran("cpu")) : (gpu ?? ran(backend))),
    model: () => Buffer.from("a model"),
    modules: "node_modules",
    kernel: "6.12.107",
    now: () => new Date(0),
  };
}

const request = (changes: Partial<Request> = {}): Request => ({ trees: [tree], backend: undefined, tokens: 8, ...changes });

async function qualify(changes: Changes, asked: Partial<Request> = {}) {
  const world = worldOf(changes);
  const wanted = request(asked);
  return await compare(await candidateOf(wanted, world), wanted, world);
}

const refused: readonly {
  readonly name: string;
  readonly changes: Changes;
  readonly asked?: Partial<Request>;
  readonly code: string;
}[] = [
  { name: "a machine without a GPU", changes: { devices: [] }, code: "GPU_NONE" },
  { name: "a GPU that no declared backend is for", changes: { devices: [{ ...rtx, backends: ["rocm"] }] }, code: "GPU_NONE" },
  { name: "a backend that is not for this GPU", changes: {}, asked: { backend: "rocm" }, code: "GPU_NONE" },
  { name: "no image", changes: {}, asked: { trees: [] }, code: "GPU_TREES_MISSING" },
  {
    name: "a GPU that computes something else",
    changes: { gpu: ran("cuda", [1, 2, 3, 4, 5, 6, 7, 9]) },
    code: "GPU_TOKENS_DIFFER",
  },
  { name: "fewer tokens than asked for", changes: { gpu: ran("cuda", [1, 2]), cpu: ran("cpu", [1, 2]) }, code: "GPU_NOT_RUN" },
  {
    name: "a library that is not loaded",
    changes: { gpu: failedProbe("cuda", "libcuda.so.1: cannot open") },
    code: "GPU_NOT_RUN",
  },
  { name: "a CPU that did not run", changes: { cpu: failedProbe("cpu", "SIGILL") }, code: "GPU_NOT_RUN" },
  { name: "a software renderer", changes: { gpu: { ...ran("cuda"), software: true } }, code: "GPU_NOT_RUN" },
  { name: "a run without weights on the device", changes: { gpu: { ...ran("cuda"), deviceBytes: 0 } }, code: "SCHEMA_MISMATCH" },
];
for (const { name, changes, asked, code } of refused) {
  test(`${name} is not qualified`, () => assert.rejects(qualify(changes, asked), { code }));
}

test("a library that is not the declared one is named", async () => {
  const declared = declare(["cpu", "cuda"]);
  writeFileSync(join(tree, "usr/lib/secure-ai/backends/cuda/lib.so"), "another library");
  await assert.rejects(qualify({ declared }), { code: "GPU_LIBRARY_DIFFERS", message: /backends\/cuda\/lib\.so/ });
  rmSync(join(tree, "usr/lib/secure-ai/backends/cuda/lib.so"));
  await assert.rejects(qualify({ declared }), { code: "GPU_LIBRARY_DIFFERS", message: /no such file/ });
});

test("the maker's own backend is qualified, or the one that was asked for", async () => {
  const own = await qualify({});
  assert.deepEqual([own.backend, own.device.driverVersion, own.gpu.tokens], ["cuda", "550.163.01", tokens]);
  assert.deepEqual(
    own.libraries.map(({ path }) => path),
    ["runtime", "cpu", "cuda"].map((name) => `/usr/lib/secure-ai/backends/${name}/lib.so`),
  );
  assert.equal((await qualify({}, { backend: "vulkan" })).backend, "vulkan");
});
