import { type JsonValue, parseCanonicalJson } from "./canonical-json.ts";
import { designationShape } from "./designation.ts";
import { FormatError } from "./errors.ts";
import { anyObject, literal, parseShape, type Shape, table } from "./shape.ts";
import { sha256Shape } from "./shapes.ts";
import { buildStatement, type Statement, type Subject } from "./statement.ts";
import { MEASURED_BOOT_PREDICATE } from "./uris.ts";

/** The part of measurements.json that a release is checked against; who compares PCRs reads the rest. */
export interface MeasuredBoot {
  readonly designation: "dev" | "candidate" | "stable";
  readonly rootHash: string;
  /** Predicted PCR values of the SHA-256 bank, by index. */
  readonly pcrs: Readonly<Record<string, string>>;
}

const pcrsShape = table(/^([0-9]|1[0-9]|2[0-3])$/, sha256Shape, { min: 1, max: 24 });
/** Members that must be there; others belong to the prediction and are covered by the signature as they stand. */
const members = { schema: literal(1), designation: designationShape, rootHash: sha256Shape, pcrs: anyObject };

/** @throws FormatError SCHEMA_MISMATCH */
export function readMeasuredBoot(value: unknown): MeasuredBoot {
  const document = parseShape(anyObject, value, "a measurements document");
  const member = <T>(name: keyof typeof members, shape: Shape<T>) => parseShape(shape, document[name], `measurements: ${name}`);
  member("schema", members.schema);
  const { sha256 } = member("pcrs", members.pcrs);
  return {
    designation: member("designation", members.designation),
    rootHash: member("rootHash", members.rootHash),
    pcrs: parseShape(pcrsShape, sha256, "measurements: pcrs.sha256"),
  };
}

/** The statement that signs a prediction: these files, booted, measure so. docs/predicates/measured-boot.md */
export function buildMeasuredBoot(
  document: Readonly<Record<string, unknown>>,
  subjects: readonly Subject[],
): Statement<Readonly<Record<string, unknown>>> {
  readMeasuredBoot(document);
  return buildStatement(MEASURED_BOOT_PREDICATE, subjects, document);
}

/** @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH */
export function parseMeasurementsFile(bytes: Uint8Array): Readonly<Record<string, JsonValue>> {
  const value = parseCanonicalJson(bytes, 1 << 20);
  readMeasuredBoot(value);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new FormatError("SCHEMA_MISMATCH", { expected: "an object", actual: "another value" });
  return value as Readonly<Record<string, JsonValue>>;
}
