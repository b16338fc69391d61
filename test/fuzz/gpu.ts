import { canonicalJson, parseJson } from "../../attest/formats/canonical-json.ts";
import { extensionsBytes, parseExtensions } from "../../attest/formats/extensions.ts";
import { gpuBackendsBytes, parseGpuBackends } from "../../attest/formats/gpu-backends.ts";
import { type ProbeReport, parseProbeReport, probeReportBytes } from "../../attest/formats/gpu-probe.ts";
import { type GpuQualification, parseGpuQualification } from "../../attest/formats/gpu-qualification.ts";
import { type GpuState, gpuStateBytes, parseGpuState } from "../../attest/formats/gpu-state.ts";
import { parseInferenceEnv } from "../../attest/formats/inference-env.ts";
import { declaredBackends, declaredExtensions, ran, reportOf } from "../../services-src/gpu/machine.test-data.ts";
import type { Target } from "./target.ts";

// What a machine reads of its image, of drivers and of those who qualify GPUs.

const MAX_BYTES = 1 << 20;
const START = "2026-01-01T00:00:00Z";
const HASH = "ab".repeat(32);
const tokens = [1, 2, 3];

const report: ProbeReport = reportOf(ran("cpu", tokens, "CPU"), ran("cuda", tokens, "a GPU"));
const state: GpuState = {
  ...{ schema_version: 1, detected_at: START, backend: "cuda", name: "a GPU", gpu_layers: -1 },
  qualified: { statement: HASH, key: HASH, device: "10de:2684", finished_on: START },
  qualified_reason: "somebody said so",
  vm: { is_vm: false, hypervisor: "none", gpu_passthrough: false, gpu_enabled: false },
  devices: [],
  backends: [{ name: "cuda", state: "runs", reason: "the same tokens as the CPU", extension: "cuda" }],
};
const run = { device: "CPU", tokens, loadMs: 1, ms: 1, deviceBytes: 0 };
const qualification: GpuQualification = {
  backend: "cuda",
  device: {
    ...{ vendor: "10de", device: "2684", name: "a GPU", memoryBytes: 1, driver: "nvidia", driverVersion: "550.163.01" },
  },
  kernel: "6.12.107",
  runtime: { package: "example", version: "1", llamaCpp: "1", ggml: "1" },
  libraries: [{ path: "/usr/lib/secure-ai/runtime/libggml-base.so", sha256: HASH }],
  model: { sha256: HASH },
  cpu: run,
  gpu: { ...run, deviceBytes: 1 },
  ...{ startedOn: START, finishedOn: START },
};

export const gpuTargets = (): readonly Target[] => [
  { name: "gpu-state", seeds: [gpuStateBytes(state)], parse: parseGpuState, print: gpuStateBytes },
  { name: "gpu-probe", seeds: [probeReportBytes(report)], parse: parseProbeReport, print: probeReportBytes },
  {
    name: "gpu-backends",
    seeds: [gpuBackendsBytes(declaredBackends("cpu", "cuda"))],
    parse: parseGpuBackends,
    print: gpuBackendsBytes,
  },
  { name: "extensions", seeds: [extensionsBytes(declaredExtensions("cuda"))], parse: parseExtensions, print: extensionsBytes },
  {
    name: "gpu-qualification",
    seeds: [Buffer.from(canonicalJson(qualification))],
    parse: (bytes) => parseGpuQualification(parseJson(bytes, MAX_BYTES)),
  },
  {
    name: "inference-env",
    seeds: [Buffer.from("GPU_BACKEND=cuda\nGPU_LAYERS=-1\n")],
    parse: (bytes) => parseInferenceEnv(bytes.toString("latin1")),
  },
];
