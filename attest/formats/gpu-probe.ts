import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { type Backend, backendShape, sonameShape } from "./gpu-backends.ts";
import { integer, list, literal, object, parseShape, type TypeOf, text } from "./shape.ts";
import { sha256Shape } from "./shapes.ts";

/** Largest report of a probe, in bytes. */
export const MAX_PROBE_BYTES = 1 << 20;
/** Most tokens that a probe generates. */
export const MAX_PROBE_TOKENS = 1024;

const MAX_NAME = 200;
const MAX_REASON = 500;

/** What a driver calls its device: one line of printable ASCII. */
export const deviceNameShape = text(/^[ -~]{1,200}$/, MAX_NAME);
/** Why something is as it is, for people. */
export const reasonShape = text(/^[ -~]{1,500}$/, MAX_REASON);

/** Text of a driver or loader as one printable line: it ends up in files that other programs read line by line. */
export const printableName = (raw: string): string => printable(raw, MAX_NAME) || "unnamed";
export const printableReason = (raw: string): string => printable(raw, MAX_REASON) || "no reason given";

const printable = (raw: string, max: number): string =>
  raw
    .slice(0, 4 * max)
    .replace(/\s+/g, " ")
    .replace(/[^ -~]/g, "?")
    .trim()
    .slice(0, max);

export const tokensShape = list(integer(0, 0x7fff_ffff), { min: 1, max: MAX_PROBE_TOKENS });

const probeShape = object(
  {
    backend: backendShape,
    /**
     * "ran": it generated tokens. "no device": the library loads and lists nothing that it could use. "not loaded": the loader refused the
     * library. "failed": anything else, a crash included.
     */
    outcome: literal("ran", "no device", "not loaded", "failed"),
    reason: reasonShape,
    /** What the backend lists. */
    devices: list(deviceNameShape, { max: 64 }),
    /** A renderer that computes on the CPU, which is never taken for a GPU. */
    software: literal(true, false),
  },
  {
    /** The library that the loader did not find. */
    missing: sonameShape,
    device: deviceNameShape,
    tokens: tokensShape,
    /** Time to load the backend and the model, and to generate, in milliseconds. */
    loadMs: integer(0),
    ms: integer(0),
    /** Bytes of the model's weights in the device's memory: 0 says that the CPU did the work. */
    deviceBytes: integer(0),
    /** Memory of all devices of the backend, in bytes. */
    memoryBytes: integer(0),
  },
);
/** What came of loading one backend and, if it has a device, of running a model on it. */
export type Probe = TypeOf<typeof probeShape>;

/** What a machine's backends did with the same model, one after the other, each in a process of its own. */
const probeReportShape = object({
  schema: literal(1),
  model: object({ sha256: sha256Shape }),
  probes: list(probeShape, { min: 1, max: 16 }),
});
export type ProbeReport = TypeOf<typeof probeReportShape>;

/** @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH */
export function parseProbe(bytes: Uint8Array): Probe {
  return consistent(parseShape(probeShape, parseCanonicalJson(bytes, MAX_PROBE_BYTES), "the answer of a probe"));
}

/** @throws FormatError as `parseProbe`, and DUPLICATE_ENTRY */
export function parseProbeReport(bytes: Uint8Array): ProbeReport {
  const report = parseShape(probeReportShape, parseCanonicalJson(bytes, MAX_PROBE_BYTES), "the report of a probe, schema 1");
  requireDistinct(
    report.probes.map(({ backend }) => backend),
    "backends",
  );
  for (const probe of report.probes) consistent(probe);
  return report;
}

/** A run without tokens is none, and one without weights on the device was the CPU's. */
function consistent(probe: Probe): Probe {
  const { backend, outcome, tokens, device, ms, deviceBytes, missing } = probe;
  const isRun = tokens !== undefined && device !== undefined && ms !== undefined && deviceBytes !== undefined;
  if ((outcome === "ran") !== isRun) throw mismatch(`${outcome} with ${isRun ? "no" : "its"} tokens`, JSON.stringify(outcome));
  if (outcome === "ran" && backend !== "cpu" && deviceBytes === 0) throw mismatch("weights in the device's memory", "none");
  if (missing !== undefined && outcome !== "not loaded") throw mismatch("a missing library only where one was refused", missing);
  return probe;
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });

/** One canonical line. @throws FormatError for a probe that no reader accepts */
export function probeBytes(probe: Probe): Buffer {
  const bytes = Buffer.from(`${canonicalJson(probe)}\n`);
  parseProbe(bytes);
  return bytes;
}

/** @throws FormatError for a report that no reader accepts */
export function probeReportBytes(report: ProbeReport): Buffer {
  const bytes = Buffer.from(`${canonicalJson(report)}\n`);
  parseProbeReport(bytes);
  return bytes;
}

/** A probe that came to nothing. */
export const failedProbe = (backend: Backend, reason: string): Probe => ({
  backend,
  outcome: "failed",
  reason: printableReason(reason),
  devices: [],
  software: false,
});
