import { createHash, sign } from "node:crypto";
import { type Bundle, bundleBytes, parseBundle } from "@secai/formats/bundle";
import { preAuthEncoding } from "@secai/formats/dsse";
import { hintOf, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { verifyMessageBundle, verifyStatementBundle } from "@secai/formats/signature";
import { parseStatement, type Statement, statementBytes } from "@secai/formats/statement";
import { IN_TOTO_PAYLOAD_TYPE } from "@secai/formats/uris";
import { SignError } from "./errors.ts";
import type { SigningKey } from "./key-file.ts";

/**
 * The bytes of a Sigstore bundle v0.3 around `statement`, signed with a local key: no clock, no log, no network.
 * @throws FormatError when the statement is not one our reader accepts; SignError SIGNATURE_UNVERIFIED
 */
export async function signStatement(statement: Statement<unknown>, key: SigningKey): Promise<Buffer> {
  const payload = statementPayload(statement);
  return statementBundle(payload, signatureOf(preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload), key), key.publicPem);
}

/**
 * The bytes of a Sigstore bundle v0.3 that signs `data` as a file of its own.
 * @throws SignError SIGNATURE_UNVERIFIED
 */
export function signBlob(data: Uint8Array, key: SigningKey): Buffer {
  return messageBundle(data, signatureOf(data, key), key.publicPem);
}

/** Over the data itself: ECDSA hashes it with SHA-256, ML-DSA in its own way. */
export function signatureOf(data: Uint8Array, { algorithm, privateKey }: SigningKey): Buffer {
  return sign(algorithm === "ecdsa-p256" ? "sha256" : null, data, privateKey);
}

/** @throws FormatError when no reader of ours would accept the statement */
export function statementPayload(statement: Statement<unknown>): Buffer {
  const payload = statementBytes(statement);
  parseStatement(payload);
  return payload;
}

/**
 * A signature over the pre-authentication encoding of `payload`, however it was made, as a bundle.
 * @throws SignError SIGNATURE_UNVERIFIED
 */
export function statementBundle(payload: Buffer, signature: Buffer, publicPem: string): Buffer {
  const keyHint = hintOf(trustedKey(publicPem));
  const bytes = bundleBytes({ kind: "statement", keyHint, payloadType: IN_TOTO_PAYLOAD_TYPE, payload, signature });
  return verified(bytes, publicPem, (bundle, key) => {
    if (bundle.kind !== "statement" || !verifyStatementBundle(bundle, key).equals(payload)) throw new Error("another payload");
  });
}

/**
 * A signature over `data`, however it was made, as a bundle.
 * @throws SignError SIGNATURE_UNVERIFIED
 */
export function messageBundle(data: Uint8Array, signature: Buffer, publicPem: string): Buffer {
  const digest = createHash("sha256").update(data).digest();
  const bytes = bundleBytes({ kind: "message", keyHint: hintOf(trustedKey(publicPem)), digest, signature });
  return verified(bytes, publicPem, (made, key) => {
    if (made.kind !== "message") throw new Error("another kind of bundle");
    verifyMessageBundle(made, data, key);
  });
}

/** Reads the bundle back as any verifier would, from its bytes and the public key's bytes, before anybody else sees it. */
function verified(bytes: Buffer, publicPem: string, check: (bundle: Bundle, trusted: PublicKey) => void): Buffer {
  try {
    check(parseBundle(bytes), trustedKey(publicPem));
    return bytes;
  } catch (cause) {
    throw new SignError("SIGNATURE_UNVERIFIED", { expected: "a bundle that verifies", actual: (cause as Error).message, cause });
  }
}

const trustedKey = (publicPem: string): PublicKey => parsePublicKey(Buffer.from(publicPem));
