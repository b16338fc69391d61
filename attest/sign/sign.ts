import { createHash, sign } from "node:crypto";
import { parseBundle } from "@secai/formats/bundle";
import { canonicalJson } from "@secai/formats/canonical-json";
import { hintOf, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { verifyMessageBundle, verifyStatementBundle } from "@secai/formats/signature";
import { parseStatement, type Statement, statementBytes } from "@secai/formats/statement";
import { IN_TOTO_PAYLOAD_TYPE } from "@secai/formats/uris";
import { type Bundle, bundleToJSON, toMessageSignatureBundle } from "@sigstore/bundle";
import { DSSEBundleBuilder, type Signer } from "@sigstore/sign";
import { SignError } from "./errors.ts";
import type { SigningKey } from "./key-file.ts";

/**
 * The bytes of a Sigstore bundle v0.3 around `statement`, signed with a local key: no clock, no log, no network.
 * @throws FormatError when the statement is not one our reader accepts; SignError SIGNATURE_UNVERIFIED
 */
export async function signStatement(statement: Statement<unknown>, key: SigningKey): Promise<Buffer> {
  const payload = statementBytes(statement);
  parseStatement(payload);
  const builder = new DSSEBundleBuilder({ signer: signerOf(key), witnesses: [] });
  const bytes = bundleBytes(await builder.create({ data: payload, type: IN_TOTO_PAYLOAD_TYPE }));
  return verified(bytes, key, (bundle, trusted) => {
    if (bundle.kind !== "statement" || !verifyStatementBundle(bundle, trusted).equals(payload))
      throw new Error("another payload");
  });
}

/**
 * The bytes of a Sigstore bundle v0.3 that signs `data` as a file of its own.
 * @throws SignError SIGNATURE_UNVERIFIED
 */
export function signBlob(data: Uint8Array, key: SigningKey): Buffer {
  const bundle = toMessageSignatureBundle({
    digest: createHash("sha256").update(data).digest(),
    signature: signatureOf(data, key),
    keyHint: hintOf(key),
    certificateChain: false,
  });
  return verified(bundleBytes(bundle), key, (made, trusted) => {
    if (made.kind !== "message") throw new Error("another kind of bundle");
    verifyMessageBundle(made, data, trusted);
  });
}

function signerOf(key: SigningKey): Signer {
  return {
    sign: async (data) => ({
      signature: signatureOf(data, key),
      key: { $case: "publicKey", publicKey: key.publicPem, hint: hintOf(key) },
    }),
  };
}

/** Over the data itself: ECDSA hashes it with SHA-256, ML-DSA in its own way. */
function signatureOf(data: Uint8Array, { algorithm, privateKey }: SigningKey): Buffer {
  return sign(algorithm === "ecdsa-p256" ? "sha256" : null, data, privateKey);
}

/**
 * Canonical JSON. The builder copies the hint into the envelope's keyid, which cosign 2 then takes for the id of a key it does not
 * know ("accepted signatures do not match threshold"): the field is unsigned and optional, so it goes.
 */
function bundleBytes(bundle: Bundle): Buffer {
  const { dsseEnvelope, ...rest } = bundleToJSON(bundle) as { dsseEnvelope?: { signatures: { sig: string }[] } };
  const envelope = dsseEnvelope && { ...dsseEnvelope, signatures: dsseEnvelope.signatures.map(({ sig }) => ({ sig })) };
  return Buffer.from(`${canonicalJson({ ...rest, dsseEnvelope: envelope })}\n`);
}

/** Reads the bundle back as any verifier would, from its bytes and the public key's bytes, before anybody else sees it. */
function verified(
  bytes: Buffer,
  key: SigningKey,
  check: (bundle: ReturnType<typeof parseBundle>, trusted: PublicKey) => void,
): Buffer {
  try {
    check(parseBundle(bytes), parsePublicKey(Buffer.from(key.publicPem)));
    return bytes;
  } catch (cause) {
    throw new SignError("SIGNATURE_UNVERIFIED", { expected: "a bundle that verifies", actual: (cause as Error).message, cause });
  }
}
