import { preAuthEncoding } from "@secai/formats/dsse";
import { type PublicKey, parsePublicKey } from "@secai/formats/keys";
import type { Statement } from "@secai/formats/statement";
import { IN_TOTO_PAYLOAD_TYPE } from "@secai/formats/uris";
import type { SigningKey } from "./key-file.ts";
import { messageBundle, signatureOf, statementBundle, statementPayload } from "./sign.ts";

/**
 * Whoever signs: a key file, a token behind PKCS#11, or an identity that a certificate vouches for. Each bundle was read back and
 * verified before it is given out.
 */
export interface Signer {
  /** undefined when the key lives for one signature only and a certificate carries it. */
  readonly publicKey: PublicKey | undefined;
  /** For formats that hold a bare signature; undefined when there is no key that a reader of such a format could know. */
  readonly sign: RawSign | undefined;
  /** The bytes of a bundle around the statement. */
  signStatement(statement: Statement<unknown>): Promise<Buffer>;
  /** The bytes of a bundle that signs `data` as a file of its own. */
  signBlob(data: Uint8Array): Promise<Buffer>;
}

/** A signer whose key lasts and is known to those who verify. */
export interface KeyedSigner extends Signer {
  readonly publicKey: PublicKey;
  readonly sign: RawSign;
}

/** Signs `data` itself: ECDSA with SHA-256 in DER, or pure ML-DSA-65. */
export type RawSign = (data: Uint8Array) => Promise<Buffer>;

/** A signer around any holder of one long-lived key. */
export function signerFor(publicPem: string, sign: RawSign): KeyedSigner {
  return {
    publicKey: parsePublicKey(Buffer.from(publicPem)),
    sign,
    async signStatement(statement) {
      const payload = statementPayload(statement);
      return statementBundle(payload, await sign(preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload)), publicPem);
    },
    async signBlob(data) {
      return messageBundle(data, await sign(data), publicPem);
    },
  };
}

export const keySigner = (key: SigningKey): KeyedSigner => signerFor(key.publicPem, async (data) => signatureOf(data, key));
