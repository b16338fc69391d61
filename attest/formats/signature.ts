import { createHash, verify } from "node:crypto";
import type { MessageBundle, StatementBundle } from "./bundle.ts";
import { preAuthEncoding } from "./dsse.ts";
import { FormatError } from "./errors.ts";
import type { Evidence } from "./foreign-bundle.ts";
import { hintOf, type PublicKey } from "./keys.ts";
import { verifyMlDsa } from "./ml-dsa.ts";
import { IN_TOTO_PAYLOAD_TYPE } from "./uris.ts";

/** Our own bundle or another tool's. */
type Checkable<B> = Omit<B, "keyHint"> & { readonly keyHint: string | undefined; readonly evidence?: Evidence };

/**
 * The payload of a bundle that `key` signed. Which subjects and which predicate it speaks of is the caller's to compare: a valid
 * signature says only who spoke.
 * @throws FormatError SIGNATURE_INVALID, EVIDENCE_UNCHECKED, ALGORITHM_UNAVAILABLE
 */
export function verifyStatementBundle(bundle: Checkable<StatementBundle>, key: PublicKey): Buffer {
  requireLocalKey(bundle, key);
  if (bundle.payloadType !== IN_TOTO_PAYLOAD_TYPE)
    throw new FormatError("SIGNATURE_INVALID", { expected: IN_TOTO_PAYLOAD_TYPE, actual: bundle.payloadType });
  requireSignature(preAuthEncoding(bundle.payloadType, bundle.payload), bundle.signature, key);
  return bundle.payload;
}

/**
 * Returns if `key` signed exactly `data`.
 * @throws FormatError SIGNATURE_INVALID, EVIDENCE_UNCHECKED, ALGORITHM_UNAVAILABLE
 */
export function verifyMessageBundle(bundle: Checkable<MessageBundle>, data: Uint8Array, key: PublicKey): void {
  requireLocalKey(bundle, key);
  const digest = createHash("sha256").update(data).digest();
  if (!digest.equals(bundle.digest)) {
    throw new FormatError("SIGNATURE_INVALID", {
      expected: `a signature of ${bundle.digest.toString("hex")}`,
      actual: `a file with ${digest.toString("hex")}`,
    });
  }
  requireSignature(data, bundle.signature, key);
}

/**
 * The hint is outside the signature; a wrong one is refused so that it cannot be changed unnoticed. Log entries, timestamps and
 * certificates are claims that a key cannot check: with them the bundle belongs to the keyless verifier.
 */
function requireLocalKey({ keyHint, evidence }: Checkable<StatementBundle | MessageBundle>, key: PublicKey): void {
  const claims = evidence && evidence.certificates.length + evidence.logEntries.length + evidence.timestamps.length;
  if (claims !== undefined && claims > 0)
    throw new FormatError("EVIDENCE_UNCHECKED", { expected: "a key's signature alone", actual: `${claims} further claims` });
  if (keyHint !== hintOf(key)) {
    throw new FormatError("SIGNATURE_INVALID", {
      expected: `key ${hintOf(key)}`,
      actual: `key ${keyHint ?? "of a certificate"}`,
    });
  }
}

function requireSignature(data: Uint8Array, signature: Uint8Array, key: PublicKey): void {
  if (!isSignature(data, signature, key))
    throw new FormatError("SIGNATURE_INVALID", {
      expected: `a signature by key ${key.fingerprint}`,
      actual: "another signature",
    });
}

/**
 * Whether `key` made `signature` over `data` itself (not over its digest). ECDSA signatures are DER; OpenSSL refuses DER that is not
 * minimal.
 * @throws FormatError ALGORITHM_UNAVAILABLE
 */
export function isSignature(data: Uint8Array, signature: Uint8Array, key: PublicKey): boolean {
  switch (key.algorithm) {
    case "ecdsa-p256":
      return verify("sha256", data, key.key, signature);
    case "ml-dsa-65":
      return verifyMlDsa(key.raw, data, signature);
  }
}
