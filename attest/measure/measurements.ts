import { canonicalJson, parseCanonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { FormatError } from "@secai/formats/errors";
import { integer, list, literal, object, parseShape, type Shape, table, text } from "@secai/formats/shape";
import { lineShape } from "@secai/formats/shapes";
import { MeasureError } from "./errors.ts";
import { initrdPcr } from "./initrd.ts";
import { type PredictInputs, predictPcrs } from "./predict.ts";
import { certificateDer, GUID } from "./secure-boot.ts";
import { BOOT_PHASES, type PhaseValues, READY_PATH } from "./uki.ts";

/** Largest measurements.json, in bytes. */
export const MAX_MEASUREMENTS_BYTES = 64 * 1024;
/**
 * PCRs that depend on firmware, its settings, the disk or the machine's identity, and why: recorded when a machine is enrolled, never
 * promised by a release (Linux TPM PCR registry, https://uapi-group.org/specifications/specs/linux_tpm_pcr_registry/).
 */
export const SITE_PCRS: Readonly<Record<string, string>> = {
  "0": "firmware code, by the machine's maker",
  "1": "firmware settings, ACPI and SMBIOS tables, boot order",
  "2": "code of plug-in cards",
  "3": "settings of plug-in cards",
  "5": "the disk's partition table, which first boot completes, and boot loader settings",
  "6": "events of the machine's maker",
  "15": "machine id and the volume key of /var, both made at first boot",
};

/** PCR 9 is not in the measurements of early releases. */
export type PredictedPcrs = Readonly<Record<"4" | "7" | "11" | "12", Sha256>> & { readonly "9"?: Sha256 };

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
  /** Digest of the initrd as the kernel gets it, and measures it into PCR 9; not in the measurements of early releases. */
  readonly initrd?: Sha256;
  readonly siteSpecificPcrs: readonly number[];
  /** Why a release promises nothing about each of them; not in the measurements of early releases. */
  readonly sitePcrs?: Readonly<Record<string, string>>;
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
    initrd: prediction.initrd,
    siteSpecificPcrs: Object.keys(SITE_PCRS).map(Number),
    sitePcrs: SITE_PCRS,
  };
}

/** Canonical JSON and one newline: the bytes of measurements.json. */
export function printMeasurements(measurements: Measurements): string {
  return `${canonicalJson(measurements)}\n`;
}

const digest = text(/^[0-9a-f]{64}$/, 64) as Shape<Sha256>;
const efiProgram = object({ sha256: digest, authenticode: digest });
const PHASE_PATHS = BOOT_PHASES.map((_, index) => BOOT_PHASES.slice(0, index + 1).join(":"));

/** Schema of measurements.json. */
export const measurementsShape: Shape<Measurements> = object(
  {
    schema: literal(1),
    designation: text(/^[a-z][a-z0-9-]{0,31}$/),
    rootHash: digest,
    commandLine: text(/^[\x20-\x7e]{1,4096}$/, 4096),
    uki: efiProgram,
    bootloader: efiProgram,
    secureBoot: object({ ownerGuid: text(GUID), PK: digest, KEK: digest, db: list(digest, { min: 1, max: 32 }) }),
    pcrs: object({ sha256: object({ "4": digest, "7": digest, "11": digest, "12": digest }, { "9": digest }) }),
    pcr11Phases: object(Object.fromEntries(PHASE_PATHS.map((path) => [path, digest]))),
    siteSpecificPcrs: list(integer(0, 23), { min: 1, max: 24 }),
  },
  { initrd: digest, sitePcrs: table(/^([0-9]|1[0-9]|2[0-3])$/, lineShape, { min: 1, max: 24 }) },
);

function parseShapely(bytes: Uint8Array): Measurements {
  try {
    return parseShape(measurementsShape, parseCanonicalJson(bytes, MAX_MEASUREMENTS_BYTES), "a measurements document");
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new MeasureError("MEASUREMENTS_MALFORMED", { expected: cause.expected ?? "-", actual: cause.actual ?? "-", cause });
  }
}

function requirePcr9({ initrd, commandLine, pcrs }: Measurements): void {
  const expected = initrd === undefined ? undefined : initrdPcr(commandLine, initrd);
  if (pcrs.sha256["9"] !== expected) {
    throw new MeasureError("MEASUREMENTS_MALFORMED", {
      expected: `PCR 9 of this command line and initrd: ${expected ?? "none"}`,
      actual: pcrs.sha256["9"] ?? "none",
    });
  }
}

function requireConsistent(measurements: Measurements): void {
  const { commandLine, rootHash, pcr11Phases, pcrs, siteSpecificPcrs, sitePcrs } = measurements;
  if (pcr11Phases[READY_PATH] !== pcrs.sha256["11"]) {
    throw new MeasureError("MEASUREMENTS_MALFORMED", { expected: "PCR 11 of the last phase", actual: "another value" });
  }
  requirePcr9(measurements);
  const reasons = Object.keys(sitePcrs ?? {}).map(Number);
  const promised = Object.keys(pcrs.sha256).map(Number);
  if (siteSpecificPcrs.some((index) => promised.includes(index) || (sitePcrs !== undefined && !reasons.includes(index)))) {
    throw new MeasureError("MEASUREMENTS_MALFORMED", {
      expected: "a reason for each site-specific PCR, and no value",
      actual: "a value, or no reason",
    });
  }
  if (!commandLine.split(" ").includes(`roothash=${rootHash}`)) {
    throw new MeasureError("MEASUREMENTS_MALFORMED", {
      expected: "the root hash in the command line",
      actual: "none or another",
    });
  }
}

/**
 * Parses the bytes of a measurements.json: canonical, no unknown member, and consistent with itself.
 * @throws MeasureError MEASUREMENTS_MALFORMED
 */
export function parseMeasurements(bytes: Uint8Array): Measurements {
  const measurements = parseShapely(bytes);
  requireConsistent(measurements);
  return measurements;
}
