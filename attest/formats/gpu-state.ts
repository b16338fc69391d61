import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { backendShape, extensionNameShape } from "./gpu-backends.ts";
import { deviceNameShape, reasonShape } from "./gpu-probe.ts";
import { integer, list, literal, nullable, object, parseShape, type Shape, type TypeOf, text } from "./shape.ts";
import { lineShape, sha256Shape, timestampShape } from "./shapes.ts";

/** Largest gpu.json, in bytes. */
export const MAX_GPU_STATE_BYTES = 1 << 18;

/** A graphics or compute device on the PCI bus. */
export const pciDeviceShape = object({
  address: text(/^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/, 18),
  /** Base class, subclass and interface, six hex digits. */
  class: text(/^[0-9a-f]{6}$/, 6),
  vendor: text(/^[0-9a-f]{4}$/, 4),
  device: text(/^[0-9a-f]{4}$/, 4),
  name: deviceNameShape,
  /** Kernel driver that is bound to it; null: none is. */
  driver: nullable(text(/^[A-Za-z0-9_-]{1,64}$/, 64)),
  /** Version of the driver's module, or the kernel's where the module has none of its own. */
  driver_version: nullable(lineShape),
  /** Device nodes that programs reach it through. */
  nodes: list(text(/^\/dev\/[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)?$/, 128), { max: 32 }),
  /** The declared backend that is meant for it; null: none is. */
  backend: nullable(backendShape),
});
export type PciDevice = TypeOf<typeof pciDeviceShape>;

/**
 * "runs": it generated the same tokens as the CPU, on a device. "loads, no device": its library loads and lists no GPU. "no hardware" and
 * "not merged": its extension is not laid over the root, because nothing here needs it or because somebody decided so. "missing library":
 * the loader did not find that one. "failed": anything else; the reason says what.
 */
const backendStateShape = object({
  name: backendShape,
  state: text(
    /^(runs|loads, no device|no hardware|not merged|not probed|failed|missing library [A-Za-z0-9][A-Za-z0-9._+-]{0,126})$/,
    143,
  ),
  reason: reasonShape,
  extension: nullable(extensionNameShape),
});
export type BackendState = TypeOf<typeof backendStateShape>;

const evidenceShape = object({
  /** Digest of the file that holds the signed statement. */
  statement: sha256Shape,
  /** Fingerprint of the key that signed it. */
  key: sha256Shape,
  /** The device that it is about. */
  device: text(/^[0-9a-f]{4}:[0-9a-f]{4}$/, 9),
  finished_on: timestampShape,
});

/** `false`, or why anybody should believe otherwise. */
const qualifiedShape: Shape<false | TypeOf<typeof evidenceShape>> = {
  schema: { anyOf: [{ const: false }, evidenceShape.schema] },
  mistake: (value, path) => (value === false ? undefined : evidenceShape.mistake(value, path)),
};

const vmShape = object({
  is_vm: literal(true, false),
  /** As systemd-detect-virt(1) names it; "none" on bare metal, "unknown" when it could not say. */
  hypervisor: text(/^[a-z0-9-]{1,32}$/, 32),
  /** A device of a GPU maker is on the bus. */
  gpu_passthrough: literal(true, false),
  /** Somebody at this machine allowed GPUs in a virtual machine. */
  gpu_enabled: literal(true, false),
});

/** /var/lib/secure-ai/state/gpu.json: what this machine computes with, and why. */
export const gpuStateShape = object(
  {
    schema_version: literal(1),
    detected_at: timestampShape,
    backend: literal("cpu", "cuda", "rocm", "xpu", "vulkan"),
    name: deviceNameShape,
    /** -1: every layer of a model on the device; 0: none. */
    gpu_layers: integer(-1, 0),
    qualified: qualifiedShape,
    /** Why it is not qualified. */
    qualified_reason: reasonShape,
    vm: vmShape,
    devices: list(pciDeviceShape, { max: 64 }),
    backends: list(backendStateShape, { max: 8 }),
  },
  /** Why the CPU is used although something else might be. */
  { forced_reason: literal("vm_gpu_disabled", "operator_or_detection_fail_safe") },
);
export type GpuState = TypeOf<typeof gpuStateShape>;

/**
 * A state that agrees with itself: a GPU backend is used only if it runs here, and the CPU is never "qualified".
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, DUPLICATE_ENTRY
 */
export function parseGpuState(bytes: Uint8Array): GpuState {
  const state = parseShape(gpuStateShape, parseCanonicalJson(bytes, MAX_GPU_STATE_BYTES), "gpu.json, schema 1");
  requireDistinct(
    state.backends.map(({ name }) => name),
    "backends",
  );
  requireDistinct(
    state.devices.map(({ address }) => address),
    "devices",
  );
  requireTruthful(state);
  return state;
}

function requireTruthful({ backend, gpu_layers, qualified, forced_reason, backends }: GpuState): void {
  if (backend === "cpu") {
    if (gpu_layers !== 0 || qualified !== false) throw mismatch("no layers and no qualification on the CPU", "either");
    return;
  }
  if (forced_reason !== undefined) throw mismatch("the CPU where it was forced", backend);
  const state = backends.find(({ name }) => name === backend)?.state ?? "not declared";
  if (state !== "runs") throw mismatch(`${backend} that runs`, state);
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });

/** The bytes of gpu.json. @throws FormatError for a state that no reader accepts */
export function gpuStateBytes(state: GpuState): Buffer {
  const bytes = Buffer.from(`${canonicalJson(state)}\n`);
  parseGpuState(bytes);
  return bytes;
}
