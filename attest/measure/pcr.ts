import { type Sha256, sha256 } from "@secai/formats/digest";

/** A SHA-256 PCR after TPM reset, for all PCRs a static boot extends (TCG PC Client PTP, table of initial values). */
export const ZERO_PCR = "0".repeat(64) as Sha256;

/** TPM2_PCR_Extend in the SHA-256 bank: new = SHA-256(old || digest). */
export function extendPcr(pcr: Sha256, digest: Sha256): Sha256 {
  return sha256(Buffer.from(pcr + digest, "hex"));
}

/** The value of a PCR that `start`ed so and was extended with `digests`, in order. */
export function replayPcr(digests: Iterable<Sha256>, start: Sha256 = ZERO_PCR): Sha256 {
  let value = start;
  for (const digest of digests) value = extendPcr(value, digest);
  return value;
}
