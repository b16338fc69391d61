import { createHash } from "node:crypto";
import type { Sha256 } from "@secai/formats/digest";
import { type PeFile, parsePe } from "./pe.ts";

/**
 * Authenticode SHA-256 of an EFI program: what Secure Boot signs and firmware extends into PCR 4. Left out are the checksum, the
 * certificate table's directory entry and the table itself ("Windows Authenticode Portable Executable Signature Format"; TCG PFP 3.3.4).
 * An unsigned file counts as padded with zeros to 8 bytes, as signing would pad it, so signing does not change the value.
 */
export function authenticodeOf(file: PeFile): Sha256 {
  const hash = createHash("sha256");
  hash.update(file.bytes.subarray(0, file.checksumOffset));
  hash.update(file.bytes.subarray(file.checksumOffset + 4, file.certificateEntryOffset));
  hash.update(file.bytes.subarray(file.certificateEntryOffset + 8, file.contentEnd));
  const loose = file.contentEnd % 8;
  if (loose !== 0) hash.update(new Uint8Array(8 - loose));
  return hash.digest("hex") as Sha256;
}

/** @throws MeasureError PE_MALFORMED */
export function authenticodeSha256(bytes: Uint8Array): Sha256 {
  return authenticodeOf(parsePe(bytes));
}
