import { base64Text, parseBase64 } from "./base64.ts";
import { canonicalJson, type JsonValue, parseCanonicalJson } from "./canonical-json.ts";
import { envelopeShape, MAX_PAYLOAD_BYTES, MAX_SIGNATURE_CHARACTERS, openEnvelope } from "./dsse.ts";
import { list, literal, object, parseShape } from "./shape.ts";

export { type ForeignBundle, parseForeignBundle } from "./foreign-bundle.ts";

export const BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
/** A file's bundle has the file's name and this. */
export const BUNDLE_SUFFIX = ".sigstore.json";
/** Base64 of the largest payload, a signature and a little. */
export const MAX_BUNDLE_BYTES = Math.ceil(MAX_PAYLOAD_BYTES / 3) * 4 + MAX_SIGNATURE_CHARACTERS + 4096;

const nothing = list(object({}), { max: 0 });
/**
 * A local key and nothing else: no log entry, no timestamp, no certificate. Those are evidence, and evidence that is present but
 * that this reader cannot check is refused, not passed over.
 */
const verificationMaterialShape = object(
  { publicKey: object({ hint: base64Text(64) }) },
  { tlogEntries: nothing, timestampVerificationData: object({}, { rfc3161Timestamps: nothing }) },
);
const head = { mediaType: literal(BUNDLE_MEDIA_TYPE), verificationMaterial: verificationMaterialShape };
const messageSignatureShape = object({
  messageDigest: object({ algorithm: literal("SHA2_256"), digest: base64Text(44) }),
  signature: base64Text(MAX_SIGNATURE_CHARACTERS),
});
/** https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto, as proto3 JSON. */
export const dsseBundleShape = object({ ...head, dsseEnvelope: envelopeShape });
export const messageBundleShape = object({ ...head, messageSignature: messageSignatureShape });

interface Signed {
  /** SHA-256 of the signer's public key, as the bundle claims it: a hint for choosing among trusted keys, never trust itself. */
  readonly keyHint: string;
  readonly signature: Buffer;
}
/** A signature over a statement that is inside the bundle. */
export interface StatementBundle extends Signed {
  readonly kind: "statement";
  readonly payloadType: string;
  readonly payload: Buffer;
}
/** A signature over a file beside the bundle. */
export interface MessageBundle extends Signed {
  readonly kind: "message";
  /** SHA-256 of the signed file as the bundle claims it. */
  readonly digest: Buffer;
}
export type Bundle = StatementBundle | MessageBundle;

/**
 * A bundle as our own signer writes it: canonical JSON and one newline, no byte without meaning.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, BASE64_MALFORMED
 */
export function parseBundle(bytes: Uint8Array): Bundle {
  return toBundle(parseCanonicalJson(bytes, MAX_BUNDLE_BYTES));
}

function toBundle(value: JsonValue): Bundle {
  if (typeof value === "object" && value !== null && "messageSignature" in value) {
    const { verificationMaterial, messageSignature } = parseShape(messageBundleShape, value, "a Sigstore bundle v0.3 of a file");
    return {
      kind: "message",
      keyHint: verificationMaterial.publicKey.hint,
      digest: parseBase64(messageSignature.messageDigest.digest),
      signature: parseBase64(messageSignature.signature),
    };
  }
  const { verificationMaterial, dsseEnvelope } = parseShape(dsseBundleShape, value, "a Sigstore bundle v0.3 of a statement");
  return { kind: "statement", keyHint: verificationMaterial.publicKey.hint, ...openEnvelope(dsseEnvelope) };
}

/** The one spelling of a bundle: `parseBundle` gives the same value back. */
export function bundleBytes(bundle: Bundle): Buffer {
  const signature = bundle.signature.toString("base64");
  const content =
    bundle.kind === "statement"
      ? { dsseEnvelope: envelopeOf({ ...bundle, signature }) }
      : { messageSignature: { messageDigest: { algorithm: "SHA2_256", digest: bundle.digest.toString("base64") }, signature } };
  const verificationMaterial = { publicKey: { hint: bundle.keyHint } };
  return Buffer.from(`${canonicalJson({ mediaType: BUNDLE_MEDIA_TYPE, verificationMaterial, ...content })}\n`);
}

/** Without a keyid: cosign 2 takes one for the id of a key it does not know ("accepted signatures do not match threshold"). */
function envelopeOf({ payload, payloadType, signature }: Omit<StatementBundle, "signature"> & { readonly signature: string }) {
  return { payload: payload.toString("base64"), payloadType, signatures: [{ sig: signature }] };
}
