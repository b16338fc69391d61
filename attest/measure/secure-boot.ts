import { X509Certificate } from "node:crypto";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { MeasureError } from "./errors.ts";
import { replayPcr } from "./pcr.ts";

/** EFI_GLOBAL_VARIABLE: PK, KEK, SecureBoot (UEFI 2.10 §3.3). */
const GLOBAL_VARIABLE = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/** EFI_IMAGE_SECURITY_DATABASE_GUID: db, dbx (UEFI 2.10 §32.6.1). */
const SECURITY_DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const CERT_X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072";
const CERT_SHA256 = "c1c41626-504c-4092-aca9-41f936934328";
/** Owner that OVMF's EnrollDefaultKeys, and virt-fw-vars after it, put on the placeholder entry in dbx. */
const OVMF_ENROLL_OWNER = "a0baa8a3-041d-48a8-bc87-c36d121b5e3d";
const MAX_CERTIFICATE_BYTES = 64 * 1024;

/** A GUID in lower case, with dashes. */
export const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * EFI_GUID as it lies in memory: the first three fields little-endian (UEFI 2.10, appendix A).
 * @throws MeasureError GUID_MALFORMED
 */
export function guidBytes(text: string): Buffer {
  if (!GUID.test(text))
    throw new MeasureError("GUID_MALFORMED", { expected: "a lower-case GUID", actual: `${text.length} characters` });
  const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/**
 * One certificate, PEM or DER, as DER.
 * @throws MeasureError CERTIFICATE_MALFORMED
 */
export function certificateDer(bytes: Uint8Array): Buffer {
  if (bytes.length > MAX_CERTIFICATE_BYTES) {
    throw new MeasureError("CERTIFICATE_MALFORMED", {
      expected: `at most ${MAX_CERTIFICATE_BYTES} bytes`,
      actual: `${bytes.length}`,
    });
  }
  try {
    return new X509Certificate(bytes).raw;
  } catch (cause) {
    throw new MeasureError("CERTIFICATE_MALFORMED", { expected: "one X.509 certificate", actual: "other bytes", cause });
  }
}

function signatureList(type: string, owner: string, data: Uint8Array): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(28 + 16 + data.length, 0);
  header.writeUInt32LE(0, 4);
  header.writeUInt32LE(16 + data.length, 8);
  return Buffer.concat([guidBytes(type), header, guidBytes(owner), data]);
}

/** EFI_SIGNATURE_LIST with one X.509 certificate, as virt-fw-vars writes one per certificate (UEFI 2.10 §32.4.1). */
export function certificateList(owner: string, der: Uint8Array): Buffer {
  return signatureList(CERT_X509, owner, der);
}

/** dbx after `virt-fw-vars --secure-boot`: one SHA-256 entry, of the empty string, so that the variable exists and revokes nothing. */
export function placeholderDbx(): Buffer {
  return signatureList(CERT_SHA256, OVMF_ENROLL_OWNER, Buffer.from(sha256(""), "hex"));
}

/** UEFI_VARIABLE_DATA: what firmware hashes into PCR 7 for a variable (TCG PFP 10.2.6). */
export function variableEvent(vendor: string, name: string, data: Uint8Array): Buffer {
  const lengths = Buffer.alloc(16);
  lengths.writeBigUInt64LE(BigInt(name.length), 0);
  lengths.writeBigUInt64LE(BigInt(data.length), 8);
  return Buffer.concat([guidBytes(vendor), lengths, Buffer.from(name, "utf16le"), data]);
}

/** Firmware's Secure Boot state. Certificates in DER. */
export interface SecureBootState {
  readonly ownerGuid: string;
  readonly PK: Uint8Array;
  readonly KEK: Uint8Array;
  /** In the order in which they are enrolled. */
  readonly db: readonly Uint8Array[];
  /** Content of the dbx variable; empty when there is none. */
  readonly dbx: Uint8Array;
  /** The certificates of `db` that verified something, in the order of first use: each is logged once. */
  readonly authorities: readonly Uint8Array[];
}

/** Digests of the PCR 7 events with Secure Boot on, in order: variables, separator, authorities (TCG PFP 3.3.4.8). */
export function secureBootDigests(state: SecureBootState): readonly Sha256[] {
  const list = (der: Uint8Array) => certificateList(state.ownerGuid, der);
  const variables = [
    variableEvent(GLOBAL_VARIABLE, "SecureBoot", Buffer.from([1])),
    variableEvent(GLOBAL_VARIABLE, "PK", list(state.PK)),
    variableEvent(GLOBAL_VARIABLE, "KEK", list(state.KEK)),
    variableEvent(SECURITY_DATABASE, "db", Buffer.concat(state.db.map(list))),
    variableEvent(SECURITY_DATABASE, "dbx", state.dbx),
  ];
  // An authority is the EFI_SIGNATURE_DATA alone: owner and certificate, without the list around it.
  const authorities = state.authorities.map((der) =>
    variableEvent(SECURITY_DATABASE, "db", Buffer.concat([guidBytes(state.ownerGuid), der])),
  );
  return [...variables.map(sha256), sha256(Buffer.alloc(4)), ...authorities.map(sha256)];
}

export function secureBootPcr(state: SecureBootState): Sha256 {
  return replayPcr(secureBootDigests(state));
}

/** Digest of the PCR 7 event of a machine with keys enrolled and Secure Boot off. */
export function secureBootOffDigest(): Sha256 {
  return sha256(variableEvent(GLOBAL_VARIABLE, "SecureBoot", Buffer.from([0])));
}

/** Whether this is the PCR 7 event of a machine with Secure Boot off, or without keys: then some firmware has no such variable at all. */
export function saysSecureBootOff(digest: Sha256): boolean {
  return digest === secureBootOffDigest() || digest === sha256(variableEvent(GLOBAL_VARIABLE, "SecureBoot", new Uint8Array()));
}
