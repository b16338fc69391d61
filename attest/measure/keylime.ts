import { canonicalJson } from "@secai/formats/canonical-json";
import type { Measurements } from "./measurements.ts";
import { certificateDer } from "./secure-boot.ts";

/** Certificates that firmware enrols, PEM or DER; those whose digests the measurements name. */
export interface EnrolledCertificates {
  readonly PK: Uint8Array;
  readonly KEK: Uint8Array;
  readonly db: readonly Uint8Array[];
}

interface KeylimeKey {
  readonly SignatureOwner: string;
  /** DER as 0x and lower-case hex. */
  readonly SignatureData: string;
}

/**
 * What Keylime compares a machine with: the reference state of a measured-boot policy, by the names that Keylime's own
 * create_mb_refstate gives them, and beside it a `tpm_policy` of whole PCR values. docs/predicates/measured-boot.md says which of the two
 * Keylime can use as it is.
 */
export interface KeylimeState {
  readonly has_secureboot: true;
  /** Firmware is the site's: it adds the entries of its own machines. */
  readonly scrtm_and_bios: readonly never[];
  readonly pk: readonly KeylimeKey[];
  readonly kek: readonly KeylimeKey[];
  readonly db: readonly KeylimeKey[];
  /** Revocations that must be there; the release demands none. */
  readonly dbx: readonly never[];
  /** No shim: neither a vendor's keys nor a machine owner's take part. */
  readonly vendor_db: readonly never[];
  readonly mokdig: readonly never[];
  readonly mokxdig: readonly never[];
  readonly kernels: readonly {
    /** The first EFI program, in the place of shim and GRUB. */
    readonly systemd_boot_authcode_sha256: string;
    /** The second and last: the unified kernel image. */
    readonly kernel_authcode_sha256: string;
    /** Of the event "Linux initrd" in PCR 9. Left out by releases that do not predict it. */
    readonly initrd_plain_sha256?: string;
    /** A regular expression that matches exactly one command line. */
    readonly kernel_cmdline: string;
  }[];
  readonly tpm_policy: Readonly<Record<string, readonly string[] | string>>;
}

/** Every character that means something in Python's `re`, escaped. */
function exactly(text: string): string {
  return `^${text.replaceAll(/[.^$*+?{}[\]\\|()]/g, "\\$&")}$`;
}

/** Pure. @throws MeasureError CERTIFICATE_MALFORMED */
export function buildKeylimeState(measurements: Measurements, certificates: EnrolledCertificates): KeylimeState {
  const { secureBoot, bootloader, uki, commandLine, initrd, pcrs } = measurements;
  const key = (certificate: Uint8Array): KeylimeKey => ({
    SignatureOwner: secureBoot.ownerGuid,
    SignatureData: `0x${certificateDer(certificate).toString("hex")}`,
  });
  const values = Object.entries(pcrs.sha256);
  const mask = values.reduce((bits, [index]) => bits + 2 ** Number(index), 0);
  return {
    has_secureboot: true,
    scrtm_and_bios: [],
    pk: [key(certificates.PK)],
    kek: [key(certificates.KEK)],
    db: certificates.db.map(key),
    dbx: [],
    vendor_db: [],
    mokdig: [],
    mokxdig: [],
    kernels: [
      {
        systemd_boot_authcode_sha256: `0x${bootloader.authenticode}`,
        kernel_authcode_sha256: `0x${uki.authenticode}`,
        ...(initrd === undefined ? {} : { initrd_plain_sha256: `0x${initrd}` }),
        kernel_cmdline: exactly(commandLine),
      },
    ],
    tpm_policy: { ...Object.fromEntries(values.map(([index, value]) => [index, [value]])), mask: `0x${mask.toString(16)}` },
  };
}

/** Canonical JSON and one newline: the bytes of keylime/measured-boot.json. */
export function printKeylimeState(state: KeylimeState): string {
  return `${canonicalJson(state)}\n`;
}
