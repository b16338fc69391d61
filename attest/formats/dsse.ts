import { base64Text, parseBase64 } from "./base64.ts";
import { list, literal, object, type Shape, text } from "./shape.ts";

/** Largest payload a reader decodes: an SBOM of a whole image, with room. */
export const MAX_PAYLOAD_BYTES = 48 << 20;
/** Base64 of an ML-DSA-65 signature (3309 bytes), with room. */
export const MAX_SIGNATURE_CHARACTERS = 8192;

const base64Length = (bytes: number) => Math.ceil(bytes / 3) * 4;

/** DSSE v1 envelope as it stands in a bundle; https://github.com/secure-systems-lab/dsse/blob/master/envelope.md */
export interface Envelope {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly { readonly sig: string; readonly keyid?: string }[];
}

/**
 * One signature, because a bundle carries the material of one key. `keyid` is outside the signature, so anybody could write into it:
 * it must be empty or absent.
 */
export const envelopeShape: Shape<Envelope> = object({
  payload: base64Text(base64Length(MAX_PAYLOAD_BYTES)),
  payloadType: text(/^[!-~]+$/, 256),
  signatures: list(object({ sig: base64Text(MAX_SIGNATURE_CHARACTERS) }, { keyid: literal("") }), { min: 1, max: 1 }),
});

/** As other tools write it: sigstore-js fills `keyid`. It is read and not used. */
export const foreignEnvelopeShape: Shape<Envelope> = object({
  payload: base64Text(base64Length(MAX_PAYLOAD_BYTES)),
  payloadType: text(/^[!-~]+$/, 256),
  signatures: list(object({ sig: base64Text(MAX_SIGNATURE_CHARACTERS) }, { keyid: text(/^[ -~]*$/, 256) }), { min: 1, max: 1 }),
});

/**
 * The bytes that are signed; https://github.com/secure-systems-lab/dsse/blob/master/protocol.md: both lengths are in the encoding, so
 * no payload can pass for one of another type.
 */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

export interface Opened {
  readonly payloadType: string;
  readonly payload: Buffer;
  readonly signature: Buffer;
}

/**
 * Decodes without believing: verify before use.
 * @throws FormatError BASE64_MALFORMED
 */
export function openEnvelope({ payload, payloadType, signatures }: Envelope): Opened {
  return { payloadType, payload: parseBase64(payload), signature: parseBase64(signatures[0]?.sig ?? "") };
}
