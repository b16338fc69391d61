import { strict as assert } from "node:assert";
import { failedProbe } from "@secai/formats/gpu-probe";
import { type GpuState, gpuStateBytes, parseGpuState } from "@secai/formats/gpu-state";
import { afterEach, describe, test } from "vitest";
import { detect } from "./detect.ts";
import {
  declaredBackends,
  declaredExtensions,
  type FakeMachine,
  fakeMachine,
  network,
  radeon,
  ran,
  reportOf,
  rtx,
  stdVga,
} from "./machine.test-data.ts";

const removals: (() => void)[] = [];
afterEach(() => {
  for (const remove of removals.splice(0)) remove();
});

/** What is detected, read back as its readers do. */
async function detected(machine: FakeMachine, hypervisor: string | Error = "none"): Promise<GpuState> {
  const { root, remove } = fakeMachine(machine);
  removals.push(remove);
  const state = await detect({
    root,
    now: () => new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
    hypervisor: () => (typeof hypervisor === "string" ? Promise.resolve(hypervisor) : Promise.reject(hypervisor)),
  });
  return parseGpuState(gpuStateBytes(state));
}

const tokens = [7, 8, 9];
const cpu = ran("cpu", tokens, "CPU");
const everything = declaredBackends("cpu", "vulkan", "cuda", "rocm");
const extensions = declaredExtensions("vulkan", "cuda", "rocm");
const withRtx: FakeMachine = {
  devices: [rtx, network],
  modules: { nvidia: "550.163.01" },
  declared: everything,
  extensions,
  merged: ["vulkan", "cuda"],
  report: reportOf(cpu, ran("cuda", tokens, "NVIDIA GeForce RTX 4090"), ran("vulkan", tokens, "NVIDIA GeForce RTX 4090")),
  files: {
    "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   \t\t 130\n",
    "dev/nvidia0": "",
    "dev/nvidiactl": "",
    "dev/nvidia-uvm": "",
  },
};

const stateOf = ({ backends }: GpuState, name: string) => backends.find((backend) => backend.name === name)?.state;

describe("the CPU is used", () => {
  const machines: readonly {
    readonly name: string;
    readonly machine: FakeMachine;
    readonly hypervisor?: string | Error;
    readonly forced?: string;
  }[] = [
    { name: "by an image without backends", machine: { devices: [rtx] } },
    { name: "without a GPU", machine: { declared: everything, extensions, report: reportOf(cpu) } },
    {
      name: "in a virtual machine without a GPU",
      machine: { declared: everything, devices: [stdVga] },
      hypervisor: "qemu",
      forced: "vm_gpu_disabled",
    },
    {
      name: "in a virtual machine with a GPU that nobody allowed",
      machine: withRtx,
      hypervisor: "kvm",
      forced: "vm_gpu_disabled",
    },
    {
      name: "in a virtual machine that allows a GPU which is none",
      machine: { ...withRtx, devices: [stdVga], arguments: "secai.gpu=vm" },
      hypervisor: "kvm",
      forced: "vm_gpu_disabled",
    },
    {
      name: "where the hypervisor is not known",
      machine: withRtx,
      hypervisor: "unknown",
      forced: "operator_or_detection_fail_safe",
    },
    {
      name: "where asking for the hypervisor fails",
      machine: withRtx,
      hypervisor: new Error("no such program"),
      forced: "operator_or_detection_fail_safe",
    },
    {
      name: "by a kernel argument",
      machine: { ...withRtx, arguments: "secai.gpu=vm secai.gpu=cpu" },
      forced: "operator_or_detection_fail_safe",
    },
    {
      name: "where the declaration is damaged",
      machine: { ...withRtx, files: { "usr/lib/secure-ai/gpu-backends.json": "{}\n" } },
      forced: "operator_or_detection_fail_safe",
    },
    {
      name: "where the report is damaged",
      machine: { ...withRtx, files: { "run/secure-ai-gpu-probe/probes.json": "{" } },
      forced: "operator_or_detection_fail_safe",
    },
    {
      name: "where the extensions are damaged",
      machine: { ...withRtx, files: { "usr/lib/secure-ai/extensions.json": "[]\n" } },
      forced: "operator_or_detection_fail_safe",
    },
    {
      name: "where only a software renderer ran",
      machine: { ...withRtx, report: reportOf(cpu, ran("vulkan", tokens, "llvmpipe (LLVM 19.1.7, 256 bits)", true)) },
    },
    {
      name: "where the GPU computes other tokens",
      machine: { ...withRtx, report: reportOf(cpu, ran("cuda", [7, 8, 1], "NVIDIA GeForce RTX 4090")) },
    },
    {
      name: "where the CPU's own tokens are not known",
      machine: { ...withRtx, report: reportOf(ran("cuda", tokens, "NVIDIA GeForce RTX 4090")) },
    },
    {
      name: "where no driver is bound to the GPU",
      machine: { ...withRtx, devices: [{ address: rtx.address, class: rtx.class, ids: rtx.ids }] },
    },
    {
      name: "where a backend ran that is for another maker",
      machine: { ...withRtx, devices: [radeon], report: reportOf(cpu, ran("cuda", tokens, "NVIDIA GeForce RTX 4090")) },
    },
    { name: "where the extension that ran is not merged", machine: { ...withRtx, merged: [] } },
  ];
  for (const { name, machine, hypervisor, forced } of machines) {
    test(name, async () => {
      const state = await detected(machine, hypervisor);
      assert.deepEqual([state.backend, state.name, state.gpu_layers, state.qualified], ["cpu", "CPU", 0, false]);
      assert.equal(state.forced_reason, forced);
    });
  }
});

test("a GPU whose backend ran is used, the maker's own backend first", async () => {
  const state = await detected(withRtx);
  assert.deepEqual([state.backend, state.name, state.gpu_layers], ["cuda", "NVIDIA GeForce RTX 4090", -1]);
  assert.equal(state.qualified, false);
  assert.equal(state.detected_at, "2026-01-02T03:04:05Z");
  assert.deepEqual(state.devices, [
    {
      address: "0000:01:00.0",
      class: "030000",
      vendor: "10de",
      device: "2684",
      name: "NVIDIA GeForce RTX 4090",
      driver: "nvidia",
      driver_version: "550.163.01",
      nodes: ["/dev/dri/card0", "/dev/dri/renderD128", "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"],
      backend: "cuda",
    },
  ]);
});

test("Vulkan is used where the maker's own backend fails, and the reason is kept", async () => {
  const report = reportOf(
    cpu,
    failedProbe("cuda", "the probe's process was ended by SIGSEGV"),
    ran("vulkan", tokens, "NVIDIA GeForce RTX 4090"),
  );
  const state = await detected({ ...withRtx, report });
  assert.equal(state.backend, "vulkan");
  assert.deepEqual(
    state.backends.find(({ name }) => name === "cuda"),
    {
      name: "cuda",
      state: "failed",
      reason: "the probe's process was ended by SIGSEGV",
      extension: "cuda",
    },
  );
});

test("a virtual machine uses a GPU that was handed in and allowed, by an argument or by a file of root's", async () => {
  assert.equal((await detected({ ...withRtx, arguments: "secai.gpu=vm" }, "kvm")).backend, "cuda");
  const files = { ...withRtx.files, "var/lib/secure-ai/state/gpu-in-vm": "enabled\n" };
  const state = await detected({ ...withRtx, files }, "kvm");
  assert.equal(state.backend, "cuda");
  assert.deepEqual(state.vm, { is_vm: true, hypervisor: "kvm", gpu_passthrough: true, gpu_enabled: true });
  const wrong = { ...withRtx.files, "var/lib/secure-ai/state/gpu-in-vm": "enabled or so\n" };
  assert.equal((await detected({ ...withRtx, files: wrong }, "kvm")).backend, "cpu");
});

test("every declared backend has a state with its precise reason", async () => {
  const state = await detected(
    {
      devices: [stdVga],
      declared: everything,
      extensions,
      merged: ["vulkan", "cuda"],
      report: reportOf(
        cpu,
        { ...failedProbe("vulkan", "No devices found."), outcome: "no device" },
        {
          ...failedProbe("cuda", "failed to load libggml-cuda.so: libcuda.so.1: cannot open"),
          outcome: "not loaded",
          missing: "libcuda.so.1",
        },
      ),
    },
    "qemu",
  );
  assert.deepEqual(
    state.backends.map(({ name, state: found, reason }) => [name, found, reason]),
    [
      ["cpu", "runs", "generated 3 tokens"],
      ["vulkan", "loads, no device", "No devices found."],
      ["cuda", "missing library libcuda.so.1", "failed to load libggml-cuda.so: libcuda.so.1: cannot open"],
      ["rocm", "no hardware", "extension rocm is for PCI devices of class 03 of vendor 1002: none is here"],
    ],
  );
});

test("an extension that somebody left out is said to be left out", async () => {
  const state = await detected({ ...withRtx, merged: ["vulkan"], report: reportOf(cpu) });
  assert.equal(stateOf(state, "cuda"), "not merged");
  assert.equal(stateOf(state, "vulkan"), "not probed");
  assert.equal(stateOf(state, "rocm"), "no hardware");
});

test("names of devices cannot bring lines or anything else that is not printed", async () => {
  const files = { "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: X\u0007\u001b[31mGPU_LAYERS=-1\r\n" };
  const [device] = (await detected({ ...withRtx, files })).devices;
  assert.equal(device?.name, "X??[31mGPU_LAYERS=-1");
});

test("a kernel driver has the kernel's version; what is no GPU is left out", async () => {
  const { devices } = await detected({ devices: [network, radeon], files: { "dev/kfd": "" } });
  assert.deepEqual(
    devices.map(({ address, name, driver_version, nodes, backend }) => [address, name, driver_version, nodes, backend]),
    [
      [
        "0000:03:00.0",
        "AMD 1002:744c",
        "kernel 6.12.107+deb13-amd64",
        ["/dev/dri/card1", "/dev/dri/renderD129", "/dev/kfd"],
        null,
      ],
    ],
  );
});
