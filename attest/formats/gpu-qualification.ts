import { isSameJson } from "./canonical-json.ts";
import type { Sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";
import { deviceNameShape, tokensShape } from "./gpu-probe.ts";
import { literal as exactly, integer, list, object, parseShape, type TypeOf, text } from "./shape.ts";
import { lineShape, sha256Shape, timestampShape } from "./shapes.ts";
import { buildStatement, type Statement, subjectOf } from "./statement.ts";
import { GPU_QUALIFICATION_PREDICATE } from "./uris.ts";

/** The subject: the declaration of the image's backends, which holds every library by its digest. */
export const GPU_BACKENDS_FILE = "gpu-backends.json";

const runShape = object({
  device: deviceNameShape,
  tokens: tokensShape,
  /** Milliseconds to load the backend and the model, and to generate. */
  loadMs: integer(0),
  ms: integer(0),
  /** Bytes of weights in the device's memory. */
  deviceBytes: integer(0),
});

/** What somebody found who ran the same model on the CPU and on a GPU; docs/predicates/gpu-qualification.md. */
export const gpuQualificationShape = object({
  backend: exactly("cuda", "rocm", "vulkan"),
  device: object({
    /** PCI ids, four hex digits each: which product it is, not which piece. */
    vendor: text(/^[0-9a-f]{4}$/, 4),
    device: text(/^[0-9a-f]{4}$/, 4),
    name: deviceNameShape,
    memoryBytes: integer(0),
    driver: text(/^[A-Za-z0-9_-]{1,64}$/, 64),
    driverVersion: lineShape,
  }),
  /** Kernel release of the machine it ran on. */
  kernel: lineShape,
  runtime: object({ package: lineShape, version: lineShape, llamaCpp: lineShape, ggml: lineShape }),
  /** Libraries that computed, each with the digest that the subject has for it. */
  libraries: list(object({ path: lineShape, sha256: sha256Shape }), { min: 1, max: 256 }),
  model: object({ sha256: sha256Shape }),
  cpu: runShape,
  gpu: runShape,
  startedOn: timestampShape,
  finishedOn: timestampShape,
});
export type GpuQualification = TypeOf<typeof gpuQualificationShape>;

/**
 * A qualification whose runs agree: the same greedy tokens, and weights that lay in the device's memory. Anything else is none.
 * @throws FormatError SCHEMA_MISMATCH
 */
export function parseGpuQualification(predicate: unknown): GpuQualification {
  const found = parseShape(gpuQualificationShape, predicate, "a GPU qualification, version 1");
  const { cpu, gpu, startedOn, finishedOn } = found;
  if (!isSameJson(cpu.tokens, gpu.tokens)) throw mismatch("the same tokens on both", "other tokens on the device");
  if (gpu.deviceBytes === 0) throw mismatch("weights in the device's memory", "none");
  if (Date.parse(startedOn) > Date.parse(finishedOn))
    throw mismatch("a run that starts before it ends", `${startedOn} to ${finishedOn}`);
  return found;
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });

/** @throws FormatError SCHEMA_MISMATCH for a qualification that no reader accepts */
export function gpuQualificationStatement(predicate: GpuQualification, backendsDigest: Sha256): Statement<GpuQualification> {
  parseGpuQualification(predicate);
  return buildStatement(GPU_QUALIFICATION_PREDICATE, [subjectOf(GPU_BACKENDS_FILE, backendsDigest)], predicate);
}

/** What a machine can compare a qualification with. */
export interface QualifiedSetup {
  readonly backend: string;
  readonly vendor: string;
  readonly device: string;
  readonly driver: string;
  readonly driverVersion: string;
  readonly backendsDigest: Sha256;
}

/**
 * The qualification in a statement, if it is of this very setup.
 * @throws FormatError SCHEMA_MISMATCH naming the first thing that is another
 */
export function requireQualified(statement: Statement, setup: QualifiedSetup): GpuQualification {
  if (statement.predicateType !== GPU_QUALIFICATION_PREDICATE)
    throw mismatch(GPU_QUALIFICATION_PREDICATE, statement.predicateType);
  const found = parseGpuQualification(statement.predicate);
  const about = statement.subject.map(({ name, digest }) => `${name} ${digest.sha256}`);
  const same = [
    ["about", `${GPU_BACKENDS_FILE} ${setup.backendsDigest}`, about.join(", ")],
    ["backend", setup.backend, found.backend],
    ["device", `${setup.vendor}:${setup.device}`, `${found.device.vendor}:${found.device.device}`],
    ["driver", `${setup.driver} ${setup.driverVersion}`, `${found.device.driver} ${found.device.driverVersion}`],
  ] as const;
  for (const [what, expected, actual] of same) if (expected !== actual) throw mismatch(`${what} ${expected}`, actual);
  return found;
}
