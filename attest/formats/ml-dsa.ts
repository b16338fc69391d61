import { createPublicKey, verify } from "node:crypto";
import { FormatError } from "./errors.ts";

/** FIPS 204, table 2. */
export const ML_DSA_SIGNATURE_BYTES = 3309;
const RAW_KEY_BYTES = 1952;
/**
 * Everything in the SubjectPublicKeyInfo before the key (RFC 9881 §4): two SEQUENCE headers, the OID 2.16.840.1.101.3.4.3.18 without
 * parameters, and a BIT STRING header. All lengths are fixed, so there is one encoding and nothing to parse.
 */
const SPKI_PREFIX = Buffer.from("308207b2300b0609608648016503040312038207a100", "hex");

/** Whether `der` is the SubjectPublicKeyInfo of an ML-DSA-65 key. */
export function isMlDsaSpki(der: Uint8Array): boolean {
  return der.length === SPKI_PREFIX.length + RAW_KEY_BYTES && SPKI_PREFIX.equals(der.subarray(0, SPKI_PREFIX.length));
}

export const rawMlDsaKey = (spki: Uint8Array): Buffer => Buffer.from(spki.subarray(SPKI_PREFIX.length));
export const mlDsaSpki = (raw: Uint8Array): Buffer => Buffer.concat([SPKI_PREFIX, raw]);

/** Pure ML-DSA-65 with an empty context: does the key (pkEncode) accept the signature of the message? */
export type MlDsaVerify = (rawKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean;

/**
 * OpenSSL has ML-DSA from 3.5, so Node 24 has it and Node 20 has not. Where it is missing, the program that checks signatures hands in
 * another implementation once at its start; this package itself depends on none, because services import it too.
 */
let substitute: MlDsaVerify | undefined;

export function provideMlDsa(implementation: MlDsaVerify): void {
  substitute = implementation;
}

let native: boolean | undefined;

/** Whether this Node's OpenSSL knows ML-DSA-65: asked with an all-zero key, which is a valid encoding. */
export function hasNativeMlDsa(): boolean {
  native ??= succeeds(() => nativeKey(Buffer.alloc(RAW_KEY_BYTES)));
  return native;
}

/** @throws FormatError ALGORITHM_UNAVAILABLE when neither OpenSSL nor the program brings ML-DSA */
export function verifyMlDsa(rawKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== ML_DSA_SIGNATURE_BYTES) return false;
  if (hasNativeMlDsa()) return verify(null, message, nativeKey(rawKey), signature);
  if (substitute !== undefined) return substitute(rawKey, message, signature);
  throw new FormatError("ALGORITHM_UNAVAILABLE", { expected: "ML-DSA-65", actual: `Node ${process.version} without it` });
}

const nativeKey = (raw: Uint8Array) => createPublicKey({ key: mlDsaSpki(raw), format: "der", type: "spki" });

function succeeds(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}
