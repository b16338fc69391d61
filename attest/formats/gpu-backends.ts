import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { integer, list, literal, object, parseShape, type TypeOf, text } from "./shape.ts";
import { lineShape, sha256Shape } from "./shapes.ts";

/** Largest gpu-backends.json, in bytes. */
export const MAX_GPU_BACKENDS_BYTES = 1 << 20;

/** Backends of the runtime that a recipe can declare, the ones we would rather use first. */
export const BACKENDS = ["cuda", "rocm", "vulkan", "cpu"] as const;
export const backendShape = literal(...BACKENDS);
export type Backend = TypeOf<typeof backendShape>;

/** Name of a system extension. */
export const extensionNameShape = text(/^[a-z0-9][a-z0-9-]{0,31}$/, 32);
const versionText = text(/^[!-~]{1,128}$/, 128);

/** A shared library by the name that other libraries need it under, e.g. "libvulkan.so.1". */
export const sonameShape = text(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,126}$/, 127);

const fileShape = object({
  /** Absolute, below /usr/lib/secure-ai, in the running system. */
  path: text(/^\/usr\/lib\/secure-ai(\/[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}){1,4}$/, 512),
  sha256: sha256Shape,
  size: integer(1),
});

const sourceShape = object(
  {
    kind: literal("npm", "compiled"),
    /** Entries of the recipe's lock that it was made of. */
    lock: list(lineShape, { min: 1, max: 1000 }),
  },
  { toolRoot: text(/^[a-z][a-z0-9-]{0,31}$/, 32) },
);

/** What the step that makes a backend knows of it. */
const described = {
  name: backendShape,
  /** Of the ggml that it belongs to: libraries of different ones cannot be mixed. */
  version: versionText,
  files: list(fileShape, { min: 1, max: 256 }),
  source: sourceShape,
  /** GPU architectures that its kernels were compiled for, in their maker's words: "sm_86", "gfx1100", "spirv1.3"; CPU variants. */
  architectures: list(text(/^[A-Za-z0-9_.+-]{1,64}$/, 64), { max: 256 }),
  licences: list(lineShape, { min: 1, max: 64 }),
  /** Libraries that it needs from outside the runtime. */
  libraries: list(sonameShape, { max: 256 }),
};

/** backend.json, beside the libraries of one backend as its step makes them; the image decides where they go. */
export const backendRecordShape = object(described);
export type BackendRecord = TypeOf<typeof backendRecordShape>;

const backendEntryShape = object({
  ...described,
  /** Where its files lie: in the sealed root, or in a system extension that the machine merges when it has the hardware. */
  place: text(/^(root|extension:[a-z0-9][a-z0-9-]{0,31})$/, 42),
});
export type BackendEntry = TypeOf<typeof backendEntryShape>;

/** /usr/lib/secure-ai/gpu-backends.json of the sealed root: what can compute in this image, file by file. */
export const gpuBackendsShape = object({
  schema: literal(1),
  runtime: object({
    package: lineShape,
    version: versionText,
    llamaCpp: versionText,
    ggml: versionText,
    /** Its own libraries and the addon that Node opens, in the sealed root; those of backends stand with the backend. */
    files: list(fileShape, { min: 1, max: 64 }),
    licences: list(lineShape, { min: 1, max: 64 }),
  }),
  backends: list(backendEntryShape, { min: 1, max: BACKENDS.length }),
});
export type GpuBackends = TypeOf<typeof gpuBackendsShape>;

/**
 * The description of one backend: its files each once, by path and by name.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, DUPLICATE_ENTRY
 */
export function parseBackendRecord(bytes: Uint8Array): BackendRecord {
  const record = parseShape(backendRecordShape, parseCanonicalJson(bytes, MAX_GPU_BACKENDS_BYTES), "backend.json");
  requireDistinct(
    record.files.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)),
    "files",
  );
  return record;
}

/** The bytes of backend.json. @throws FormatError for a record that no reader accepts */
export function backendRecordBytes(record: BackendRecord): Buffer {
  const bytes = Buffer.from(`${canonicalJson(record)}\n`);
  parseBackendRecord(bytes);
  return bytes;
}

/**
 * A declaration that agrees with itself: each backend once, the CPU's in the root, no file twice.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, DUPLICATE_ENTRY
 */
export function parseGpuBackends(bytes: Uint8Array): GpuBackends {
  const declared = parseShape(gpuBackendsShape, parseCanonicalJson(bytes, MAX_GPU_BACKENDS_BYTES), "gpu-backends.json, schema 1");
  requireDistinct(
    declared.backends.map(({ name }) => name),
    "backends",
  );
  requireDistinct(
    [declared.runtime, ...declared.backends].flatMap(({ files }) => files.map(({ path }) => path)),
    "files",
  );
  const cpu = declared.backends.find(({ name }) => name === "cpu");
  if (cpu?.place !== "root")
    throw new FormatError("SCHEMA_MISMATCH", { expected: "the backend cpu in the root", actual: cpu?.place ?? "none" });
  return declared;
}

/** The bytes of gpu-backends.json. @throws FormatError for a declaration that no reader accepts */
export function gpuBackendsBytes(declared: GpuBackends): Buffer {
  const bytes = Buffer.from(`${canonicalJson(declared)}\n`);
  parseGpuBackends(bytes);
  return bytes;
}

/** Name of the extension that holds a backend; undefined when the sealed root does. */
export const extensionOf = ({ place }: Pick<BackendEntry, "place">): string | undefined =>
  place === "root" ? undefined : place.slice("extension:".length);
