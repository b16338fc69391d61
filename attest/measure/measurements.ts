import { canonicalJson, type JsonValue, parseCanonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { FormatError } from "@secai/formats/errors";
import { MeasureError } from "./errors.ts";
import { type PredictInputs, predictPcrs } from "./predict.ts";
import { certificateDer, isGuid } from "./secure-boot.ts";
import { BOOT_PHASES, type PhaseValues, READY_PATH } from "./uki.ts";

/** Largest measurements.json, in bytes. */
export const MAX_MEASUREMENTS_BYTES = 64 * 1024;
/**
 * PCRs that depend on firmware, its settings, the disk or the machine's identity: recorded when a machine is enrolled, never promised by
 * a release (Linux TPM PCR registry, https://uapi-group.org/specifications/specs/linux_tpm_pcr_registry/).
 */
export const SITE_SPECIFIC_PCRS = [0, 1, 2, 3, 5, 6, 9, 15] as const;
const PREDICTED_PCRS = ["11", "12", "4", "7"] as const;

export type PredictedPcrs = Readonly<Record<"4" | "7" | "11" | "12", Sha256>>;

export interface EfiProgram {
  /** Of the file. */
  readonly sha256: Sha256;
  /** Of what is signed and measured. */
  readonly authenticode: Sha256;
}

/** What a release promises about machines that boot it: the content of measurements.json. */
export interface Measurements {
  readonly schema: 1;
  /** What the release is for: "dev" for one signed with keys made on a developer's machine. */
  readonly designation: string;
  readonly rootHash: Sha256;
  /** The whole kernel command line, as the UKI carries it. */
  readonly commandLine: string;
  readonly uki: EfiProgram;
  readonly bootloader: EfiProgram;
  /** SHA-256 of the DER certificates that firmware must hold, and only those. */
  readonly secureBoot: {
    readonly ownerGuid: string;
    readonly PK: Sha256;
    readonly KEK: Sha256;
    readonly db: readonly Sha256[];
  };
  /** PCR 11 is the one of a machine that has come up completely; PCR 12 is zero: no addon, credential or extension was loaded. */
  readonly pcrs: { readonly sha256: PredictedPcrs };
  /** PCR 11 after each boot phase. */
  readonly pcr11Phases: PhaseValues;
  readonly siteSpecificPcrs: readonly number[];
}

export interface MeasureInputs extends Omit<PredictInputs, "addon" | "dbx"> {
  readonly designation: string;
  readonly rootHash: Sha256;
}

/**
 * Predicts and describes. Pure.
 * @throws MeasureError PE_MALFORMED, UKI_UNSUPPORTED, CERTIFICATE_MALFORMED, GUID_MALFORMED, ROOT_HASH_MISMATCH
 */
export function buildMeasurements(inputs: MeasureInputs): Measurements {
  const prediction = predictPcrs(inputs);
  const wanted = `roothash=${inputs.rootHash}`;
  const given = prediction.commandLine.split(/\s+/).filter((word) => word.startsWith("roothash="));
  if (given.length !== 1 || given[0] !== wanted) {
    throw new MeasureError("ROOT_HASH_MISMATCH", { expected: wanted, actual: given.join(" ") || "no roothash=" });
  }
  return {
    schema: 1,
    designation: inputs.designation,
    rootHash: inputs.rootHash,
    commandLine: prediction.commandLine,
    uki: { sha256: sha256(inputs.uki), authenticode: prediction.ukiAuthenticode },
    bootloader: { sha256: sha256(inputs.bootloader), authenticode: prediction.bootloaderAuthenticode },
    secureBoot: {
      ownerGuid: inputs.ownerGuid,
      PK: sha256(certificateDer(inputs.PK)),
      KEK: sha256(certificateDer(inputs.KEK)),
      db: inputs.db.map((certificate) => sha256(certificateDer(certificate))),
    },
    pcrs: { sha256: prediction.pcrs },
    pcr11Phases: prediction.pcr11Phases,
    siteSpecificPcrs: SITE_SPECIFIC_PCRS,
  };
}

/** Canonical JSON and one newline: the bytes of measurements.json. */
export function printMeasurements(measurements: Measurements): string {
  return `${canonicalJson(measurements)}\n`;
}

function bad(where: string, expected: string, cause?: unknown): MeasureError {
  return new MeasureError("MEASUREMENTS_MALFORMED", { expected, actual: `something else at ${where}`, cause });
}

type Members = { readonly [key: string]: JsonValue };

/** An object with exactly these members. */
function members(value: JsonValue | undefined, where: string, names: readonly string[]): Members {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw bad(where, "an object");
  const found = Object.keys(value).sort();
  if (found.join("\n") !== [...names].sort().join("\n")) throw bad(where, `exactly the members ${names.join(", ")}`);
  return value as Members;
}

function text(value: JsonValue | undefined, where: string, pattern: RegExp): string {
  if (typeof value !== "string" || !pattern.test(value)) throw bad(where, `text like ${pattern.source}`);
  return value;
}

function digest(value: JsonValue | undefined, where: string): Sha256 {
  return text(value, where, /^[0-9a-f]{64}$/) as Sha256;
}

function digests<Name extends string>(value: JsonValue | undefined, where: string, names: readonly Name[]) {
  const found = members(value, where, names);
  return Object.fromEntries(names.map((name) => [name, digest(found[name], `${where}.${name}`)])) as Record<Name, Sha256>;
}

function list<T>(value: JsonValue | undefined, where: string, parse: (item: JsonValue, where: string) => T): readonly T[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > 32) throw bad(where, "a list of 1 to 32 items");
  return value.map((item, index) => parse(item as JsonValue, `${where}[${index}]`));
}

function pcrIndex(value: JsonValue, where: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 23) throw bad(where, "a PCR index");
  return value;
}

function secureBoot(value: JsonValue | undefined): Measurements["secureBoot"] {
  const found = members(value, "secureBoot", ["KEK", "PK", "db", "ownerGuid"]);
  const ownerGuid = text(found.ownerGuid, "secureBoot.ownerGuid", /^[0-9a-f-]{36}$/);
  if (!isGuid(ownerGuid)) throw bad("secureBoot.ownerGuid", "a GUID");
  return {
    ownerGuid,
    PK: digest(found.PK, "secureBoot.PK"),
    KEK: digest(found.KEK, "secureBoot.KEK"),
    db: list(found.db, "secureBoot.db", digest),
  };
}

const PHASE_PATHS = BOOT_PHASES.map((_, index) => BOOT_PHASES.slice(0, index + 1).join(":"));

/** The document's shape; that the numbers agree with each other is checked in `parseMeasurements`. */
function shape(value: JsonValue): Measurements {
  const names = ["schema", "designation", "rootHash", "commandLine", "uki", "bootloader", "secureBoot", "pcrs", "pcr11Phases"];
  const top = members(value, "the top", [...names, "siteSpecificPcrs"]);
  if (top.schema !== 1) throw bad("schema", "1");
  return {
    schema: 1,
    designation: text(top.designation, "designation", /^[a-z][a-z0-9-]{0,31}$/),
    rootHash: digest(top.rootHash, "rootHash"),
    commandLine: text(top.commandLine, "commandLine", /^[\x20-\x7e]{1,4096}$/),
    uki: digests(top.uki, "uki", ["sha256", "authenticode"]),
    bootloader: digests(top.bootloader, "bootloader", ["sha256", "authenticode"]),
    secureBoot: secureBoot(top.secureBoot),
    pcrs: { sha256: digests(members(top.pcrs, "pcrs", ["sha256"]).sha256, "pcrs.sha256", PREDICTED_PCRS) },
    pcr11Phases: digests(top.pcr11Phases, "pcr11Phases", PHASE_PATHS),
    siteSpecificPcrs: list(top.siteSpecificPcrs, "siteSpecificPcrs", pcrIndex),
  };
}

/**
 * Parses the bytes of a measurements.json: canonical, no unknown member, and consistent with itself.
 * @throws MeasureError MEASUREMENTS_MALFORMED
 */
export function parseMeasurements(bytes: Uint8Array): Measurements {
  let value: JsonValue;
  try {
    value = parseCanonicalJson(bytes, MAX_MEASUREMENTS_BYTES);
  } catch (error) {
    if (error instanceof FormatError) throw bad("the bytes", "canonical JSON", error);
    throw error;
  }
  const measurements = shape(value);
  if (measurements.pcr11Phases[READY_PATH] !== measurements.pcrs.sha256["11"])
    throw bad("pcrs.sha256.11", "the last phase's value");
  if (!measurements.commandLine.split(" ").includes(`roothash=${measurements.rootHash}`)) {
    throw bad("commandLine", "the root hash");
  }
  return measurements;
}
