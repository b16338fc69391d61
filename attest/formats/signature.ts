import { createHash, verify } from "node:crypto";
import type { MessageBundle, StatementBundle } from "./bundle.ts";
import { preAuthEncoding } from "./dsse.ts";
import { FormatError } from "./errors.ts";
import { hintOf, type PublicKey } from "./keys.ts";
import { IN_TOTO_PAYLOAD_TYPE } from "./uris.ts";

/**
 * The payload of a bundle that `key` signed. Which subjects and which predicate it speaks of is the caller's to compare: a valid
 * signature says only who spoke.
 * @throws FormatError SIGNATURE_INVALID
 */
export function verifyStatementBundle(bundle: StatementBundle, key: PublicKey): Buffer {
  requireHint(bundle.keyHint, key);
  if (bundle.payloadType !== IN_TOTO_PAYLOAD_TYPE)
    throw new FormatError("SIGNATURE_INVALID", { expected: IN_TOTO_PAYLOAD_TYPE, actual: bundle.payloadType });
  requireSignature(preAuthEncoding(bundle.payloadType, bundle.payload), bundle.signature, key);
  return bundle.payload;
}

/**
 * Returns if `key` signed exactly `data`.
 * @throws FormatError SIGNATURE_INVALID
 */
export function verifyMessageBundle(bundle: MessageBundle, data: Uint8Array, key: PublicKey): void {
  requireHint(bundle.keyHint, key);
  const digest = createHash("sha256").update(data).digest();
  if (!digest.equals(bundle.digest)) {
    throw new FormatError("SIGNATURE_INVALID", {
      expected: `a signature of ${bundle.digest.toString("hex")}`,
      actual: `a file with ${digest.toString("hex")}`,
    });
  }
  requireSignature(data, bundle.signature, key);
}

/** The hint is outside the signature; a wrong one is refused so that it cannot be changed unnoticed. */
function requireHint(hint: string, key: PublicKey): void {
  if (hint !== hintOf(key)) throw new FormatError("SIGNATURE_INVALID", { expected: `key ${hintOf(key)}`, actual: `key ${hint}` });
}

/** ECDSA P-256 with SHA-256, DER signature; OpenSSL refuses DER that is not minimal. */
function requireSignature(data: Uint8Array, signature: Uint8Array, { key, fingerprint }: PublicKey): void {
  if (!verify("sha256", data, key, signature))
    throw new FormatError("SIGNATURE_INVALID", { expected: `a signature by key ${fingerprint}`, actual: "another signature" });
}
