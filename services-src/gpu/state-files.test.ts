import { strict as assert } from "node:assert";
import { linkSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type GpuState, parseGpuState } from "@secai/formats/gpu-state";
import { parseInferenceEnv } from "@secai/formats/inference-env";
import { afterEach, beforeEach, describe, test } from "vitest";
import { fakeMachine } from "./machine.test-data.ts";
import { ENV_PATH, STATE_PATH, writeState } from "./state-files.ts";

let root = "";
let remove = () => {};
beforeEach(() => {
  ({ root, remove } = fakeMachine({}));
});
afterEach(() => remove());

const cpu: GpuState = {
  schema_version: 1,
  detected_at: "2026-01-02T03:04:05Z",
  backend: "cpu",
  name: "CPU",
  gpu_layers: 0,
  qualified: false,
  qualified_reason: "no GPU is used",
  vm: { is_vm: false, hypervisor: "none", gpu_passthrough: false, gpu_enabled: false },
  devices: [],
  backends: [{ name: "vulkan", state: "runs", reason: "the same tokens as the CPU", extension: "vulkan" }],
};

test("both files are written whole, for everybody to read, and read back as what was said", async () => {
  await writeState(root, { ...cpu, backend: "vulkan", name: "a GPU", gpu_layers: -1 });
  await writeState(root, cpu);
  assert.deepEqual(parseGpuState(readFileSync(join(root, STATE_PATH))), cpu);
  assert.equal(readFileSync(join(root, ENV_PATH), "utf8"), "GPU_BACKEND=cpu\nGPU_LAYERS=0\n");
  for (const path of [STATE_PATH, ENV_PATH]) assert.equal(lstatSync(join(root, path)).mode & 0o777, 0o644);
});

describe("nothing is written", () => {
  const elsewhere = () => join(root, "elsewhere");
  const places: readonly { readonly name: string; readonly prepare: () => void }[] = [
    { name: "over a symbolic link", prepare: () => symlinkSync(elsewhere(), join(root, STATE_PATH)) },
    { name: "over a symbolic link in the place of the variables", prepare: () => symlinkSync(elsewhere(), join(root, ENV_PATH)) },
    { name: "over a file that has another name", prepare: () => linkSync(elsewhere(), join(root, ENV_PATH)) },
    { name: "over a folder", prepare: () => mkdirSync(join(root, STATE_PATH)) },
    {
      name: "through a linked folder",
      prepare: () => {
        rmSync(join(root, "var/lib/secure-ai/state"), { recursive: true });
        symlinkSync(root, join(root, "var/lib/secure-ai/state"));
      },
    },
    { name: "where the folder is missing", prepare: () => rmSync(join(root, "var/lib/secure-ai/state"), { recursive: true }) },
  ];
  for (const { name, prepare } of places) {
    test(name, async () => {
      writeFileSync(elsewhere(), "kept");
      prepare();
      await assert.rejects(writeState(root, cpu), { code: "GPU_STATE_UNSAFE" });
      assert.equal(readFileSync(elsewhere(), "utf8"), "kept");
    });
  }
});

describe("a state that is not true of itself is not written", () => {
  const states: readonly { readonly name: string; readonly state: GpuState }[] = [
    { name: "layers on the CPU", state: { ...cpu, gpu_layers: -1 } },
    { name: "a backend that does not run", state: { ...cpu, backend: "cuda", gpu_layers: -1 } },
    {
      name: "a GPU where the CPU was forced",
      state: { ...cpu, backend: "vulkan", gpu_layers: -1, forced_reason: "vm_gpu_disabled" },
    },
    { name: "a name of two lines", state: { ...cpu, name: "GPU\nGPU_LAYERS=-1" } },
    {
      name: "a qualified CPU",
      state: {
        ...cpu,
        qualified: { statement: "0".repeat(64), key: "0".repeat(64), device: "10de:2684", finished_on: "2026-01-02T03:04:05Z" },
      },
    },
  ];
  for (const { name, state } of states) test(name, () => assert.rejects(writeState(root, state), { code: "SCHEMA_MISMATCH" }));
});

const texts = [
  "",
  "GPU_BACKEND=cpu\n",
  "GPU_BACKEND=cpu\nGPU_LAYERS=-1\n",
  "GPU_BACKEND=cuda\nGPU_LAYERS=-1\nX=1\n",
  "GPU_BACKEND=cuda;id\nGPU_LAYERS=-1\n",
  "GPU_LAYERS=0\nGPU_BACKEND=cpu\n",
  "GPU_BACKEND=cuda\nGPU_LAYERS=$(id)\n",
];
for (const text of texts)
  test(`variables ${JSON.stringify(text)} are refused`, () =>
    assert.throws(() => parseInferenceEnv(text), { code: "SCHEMA_MISMATCH" }));

test("variables of a GPU are read as they were written", () => {
  assert.deepEqual(parseInferenceEnv("GPU_BACKEND=cuda\nGPU_LAYERS=-1\n"), { backend: "cuda", layers: -1 });
});
