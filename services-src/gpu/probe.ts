import type { Backend } from "@secai/formats/gpu-backends";
import { failedProbe, type Probe, printableName, printableReason } from "@secai/formats/gpu-probe";
import { type LlamaAddon, loadAddon } from "./addon.ts";
import { generate } from "./generate.ts";

export interface ProbeRequest {
  readonly backend: Backend;
  /** Folder of llama-addon.node and the CPU's libraries. */
  readonly runtime: string;
  /** The backend's library; undefined for the CPU, whose libraries lie in the runtime. */
  readonly library: string | undefined;
  readonly model: string;
  readonly tokens: number;
  /** Whether a renderer that computes on the CPU will do: to prove a backend's arithmetic where there is no GPU. */
  readonly software: boolean;
}

/** Names that Vulkan drivers for the CPU give their device: Mesa's lavapipe, its forerunners, and SwiftShader. */
const SOFTWARE = /llvmpipe|lavapipe|softpipe|swrast|swiftshader/i;

export const isSoftwareRenderer = (device: string): boolean => SOFTWARE.test(device);

/**
 * Loads the runtime and one backend into this process, and runs the model on it. A driver may end the process instead of answering, so
 * callers give it one of its own.
 * @throws GpuError GPU_RUNTIME_UNUSABLE, GPU_MODEL_UNUSABLE
 */
export async function probe(request: ProbeRequest): Promise<Probe> {
  const { backend, runtime, library, software } = request;
  const { addon, log } = loadAddon(runtime);
  if (library !== undefined) addon.setEnv("GGML_BACKEND_PATH", library);
  // By default the backend leaves out devices that compute on the CPU; a list of devices is taken as it is.
  if (software) {
    addon.setEnv("GGML_VK_VISIBLE_DEVICES", "0");
    // Mesa then compiles shaders without optimising them: a third less time, where compiling is nearly all there is to wait for.
    addon.setEnv("GALLIVM_PERF", "nopt", false);
  }
  addon.loadBackends(runtime);
  await addon.init();
  await delivered();
  const refusal = library === undefined ? undefined : refusalOf(backend, library, log);
  if (refusal !== undefined) return refusal;
  const devices = library === undefined ? [] : addon.getGpuDeviceInfo().deviceNames.map(printableName);
  const isSoftware = devices.some(isSoftwareRenderer);
  if (library !== undefined && (devices.length === 0 || (isSoftware && !software)))
    return { ...failedProbe(backend, nothingReason(devices, log)), outcome: "no device", devices, software: isSoftware };
  return await run(request, addon, devices, isSoftware);
}

async function run(
  { backend, model, tokens, library }: ProbeRequest,
  addon: LlamaAddon,
  devices: readonly string[],
  software: boolean,
): Promise<Probe> {
  const generation = await generate(addon, model, tokens, library !== undefined);
  const memoryBytes = addon.getGpuVramInfo().total;
  await addon.dispose();
  const common = { backend, devices, software };
  if (library !== undefined && generation.deviceBytes === 0)
    return { ...common, outcome: "failed", reason: "the backend lists a device, but the weights stayed in the CPU's memory" };
  const device = devices[0] ?? "CPU";
  return {
    ...{ ...common, outcome: "ran", device, ...generation },
    reason: `generated ${generation.tokens.length} tokens`,
    ...(library !== undefined && { memoryBytes }),
  };
}

/** The addon hands its messages to the event loop. */
async function delivered(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Why the loader did not take the library; undefined when it did, which it says itself. */
function refusalOf(backend: Backend, library: string, log: readonly string[]): Probe | undefined {
  const about = log.filter((line) => line.includes(library));
  if (about.some((line) => /: loaded .* backend from /.test(line))) return undefined;
  const failure =
    about.find((line) => /failed to|not supported on this system/.test(line)) ?? "the runtime did not load the library";
  const reason = printableReason(failure.replace(/^\w+: /, "").replaceAll(library, library.slice(library.lastIndexOf("/") + 1)));
  const common = { backend, reason, devices: [], software: false };
  // The library itself is there; what it looks for, a driver or a device, is not.
  if (/ggml_backend_init returned NULL/.test(failure)) return { ...common, outcome: "no device" };
  const missing = missingLibrary(failure);
  return { ...common, outcome: "not loaded", ...(missing !== undefined && { missing }) };
}

/** The library that glibc's loader did not find (dlerror(3)). */
export function missingLibrary(message: string): string | undefined {
  const [, name] = /(?:^|[\s:])([A-Za-z0-9][A-Za-z0-9._+-]{0,126}): cannot open shared object file/.exec(message) ?? [];
  return name;
}

function nothingReason(devices: readonly string[], log: readonly string[]): string {
  if (devices.length > 0) return `only a software renderer: ${devices[0]}`;
  const said = log.findLast((line) => /no devices? found|failed to initialize|no .*-capable device/i.test(line));
  return said === undefined ? "the library loads and lists no device" : said.replace(/^\w+: /, "");
}
