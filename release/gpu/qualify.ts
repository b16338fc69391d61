import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isSameJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256, sha256File } from "@secai/formats/digest";
import type { Backend, BackendEntry, GpuBackends } from "@secai/formats/gpu-backends";
import type { Probe } from "@secai/formats/gpu-probe";
import { type GpuQualification, parseGpuQualification } from "@secai/formats/gpu-qualification";
import { QualifyError } from "./errors.ts";
import type { GpuWorld, UsableDevice } from "./world.ts";

export interface Request {
  readonly trees: readonly string[];
  /** undefined: the best one that the image declares for the device. */
  readonly backend: Backend | undefined;
  readonly tokens: number;
}

/** What will be compared, before anything has run. */
export interface Candidate {
  readonly device: UsableDevice;
  readonly backend: Exclude<Backend, "cpu">;
  readonly backendsDigest: Sha256;
  readonly runtime: GpuQualification["runtime"];
  readonly libraries: GpuQualification["libraries"];
}

/**
 * The GPU and the backend that a run would be about, with every library as it was declared.
 * @throws QualifyError GPU_NONE, GPU_TREES_MISSING, GPU_LIBRARY_DIFFERS
 */
export async function candidateOf({ trees, backend }: Request, world: GpuWorld): Promise<Candidate> {
  const devices = world.devices();
  if (devices.length === 0)
    throw new QualifyError("GPU_NONE", { expected: "a GPU with a driver on the PCI bus", actual: "none" });
  const declared = await world.declared(trees);
  if (declared === undefined)
    throw new QualifyError("GPU_TREES_MISSING", {
      expected: "usr/lib/secure-ai/gpu-backends.json in a tree",
      actual: trees.length === 0 ? "no tree" : trees.join(", "),
    });
  const { device, entry } = choose(devices, declared.backends, backend);
  const { runtime, backends } = declared.backends;
  const cpu = backends.filter(({ name }) => name === "cpu");
  const libraries = await verifiedLibraries([runtime, ...cpu, entry], trees, world);
  const { package: name, version, llamaCpp, ggml } = runtime;
  return {
    ...{ device, backend: entry.name as Candidate["backend"], libraries },
    ...{ runtime: { package: name, version, llamaCpp, ggml }, backendsDigest: sha256(declared.bytes) },
  };
}

function choose(
  devices: readonly UsableDevice[],
  { backends }: GpuBackends,
  wanted: Backend | undefined,
): { readonly device: UsableDevice; readonly entry: BackendEntry } {
  for (const device of devices) {
    for (const name of device.backends.filter((one) => wanted === undefined || one === wanted)) {
      const entry = backends.find((one) => one.name === name && one.name !== "cpu");
      if (entry !== undefined) return { device, entry };
    }
  }
  throw new QualifyError("GPU_NONE", {
    expected: `a GPU for ${wanted ?? backends.map(({ name }) => name).join(", ")}`,
    actual: devices.map(({ name }) => name).join(", "),
  });
}

async function verifiedLibraries(
  entries: readonly Pick<BackendEntry, "files">[],
  trees: readonly string[],
  world: GpuWorld,
): Promise<GpuQualification["libraries"]> {
  const files = entries.flatMap((entry) => entry.files);
  for (const { path, sha256: expected } of files) {
    const found = world.locate(trees, path);
    const actual = found === undefined ? "no such file" : await sha256File(found);
    if (actual !== expected) throw new QualifyError("GPU_LIBRARY_DIFFERS", { expected: `${path} ${expected}`, actual });
  }
  return files.map(({ path, sha256: digest }) => ({ path, sha256: digest }));
}

/**
 * Runs the model on the CPU and on the GPU and compares the tokens.
 * @throws QualifyError GPU_NOT_RUN, GPU_TOKENS_DIFFER
 */
export async function compare(candidate: Candidate, { trees, tokens }: Request, world: GpuWorld): Promise<GpuQualification> {
  const folder = await mkdtemp(join(tmpdir(), "secai-qualify-"));
  try {
    const model = join(folder, "tiny.gguf");
    const bytes = world.model();
    await writeFile(model, bytes);
    const startedOn = world.now();
    const run = async (backend: Backend) => requireRun(await world.probe({ backend, trees, model, tokens }), tokens);
    const [cpu, gpu] = [await run("cpu"), await run(candidate.backend)];
    if (!isSameJson(cpu.tokens, gpu.tokens))
      throw new QualifyError("GPU_TOKENS_DIFFER", { expected: cpu.tokens.join(" "), actual: gpu.tokens.join(" ") });
    const { device, backend, runtime, libraries } = candidate;
    return parseGpuQualification({
      ...{ backend, runtime, libraries, kernel: world.kernel, model: { sha256: sha256(bytes) } },
      device: {
        ...{ vendor: device.vendor, device: device.device, name: device.name, memoryBytes: gpu.memoryBytes },
        ...{ driver: device.driver, driverVersion: device.driver_version },
      },
      cpu: runOf(cpu),
      gpu: runOf(gpu),
      ...{ startedOn: seconds(startedOn), finishedOn: seconds(world.now()) },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const seconds = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`;

type Run = GpuQualification["gpu"] & { readonly memoryBytes: number };

function requireRun(probe: Probe, count: number): Run {
  const { backend, outcome, reason, software, device, tokens, loadMs = 0, ms, deviceBytes, memoryBytes = 0 } = probe;
  const expected = `${count} tokens of ${backend}`;
  if (outcome !== "ran" || device === undefined || tokens === undefined || ms === undefined || deviceBytes === undefined)
    throw new QualifyError("GPU_NOT_RUN", { expected, actual: `${outcome}: ${reason}` });
  if (software) throw new QualifyError("GPU_NOT_RUN", { expected, actual: `a software renderer: ${device}` });
  if (tokens.length !== count) throw new QualifyError("GPU_NOT_RUN", { expected, actual: `${tokens.length}` });
  return { device, tokens, loadMs, ms, deviceBytes, memoryBytes };
}

const runOf = ({ device, tokens, loadMs, ms, deviceBytes }: Run): GpuQualification["gpu"] => ({
  device,
  tokens,
  loadMs,
  ms,
  deviceBytes,
});
