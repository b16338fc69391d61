import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { canonicalJson, type JsonValue } from "@secai/formats/canonical-json";
import { KitError } from "./errors.ts";
import { type Credential, readBounded } from "./files.ts";

/** PKCS#8 of an Ed25519 key up to the seed (RFC 8410, section 7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const MAX_PUBLIC_KEY_BYTES = 1024;

/** A service's own signing key. Receivers hold the public half only, so none of them can forge what it says. */
export interface Signer {
  /** SHA-256 of the public key's SPKI DER, lower-case hex. */
  readonly keyId: string;
  /** Base64 signature over `domain` NUL and the RFC 8785 form of `value`. */
  sign(domain: string, value: JsonValue): string;
  /** PEM, SPKI. */
  publicKey(): string;
}

/** An Ed25519 key whose seed is a credential: 32 random bytes, which is what an Ed25519 private key is (RFC 8032, section 5.1.5). */
export function createSigner(seed: Credential): Signer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, Buffer.from(seed, "hex")]), format: "der", type: "pkcs8" });
  const publicKey = createPublicKey(key);
  return {
    keyId: keyIdOf(publicKey),
    sign: (domain, value) => sign(null, signedBytes(domain, value), key).toString("base64"),
    publicKey: () => publicKey.export({ format: "pem", type: "spki" }).toString(),
  };
}

export function keyIdOf(key: KeyObject): string {
  return createHash("sha256")
    .update(key.export({ format: "der", type: "spki" }))
    .digest("hex");
}

/** The bytes that are signed. The domain keeps a signature over one kind of document from counting for another. */
export function signedBytes(domain: string, value: JsonValue): Buffer {
  return Buffer.from(`${domain}\0${canonicalJson(value)}`);
}

/** Only in the signature's one canonical spelling (RFC 4648, section 3.5): Node decodes fifteen others, and the URL alphabet, to the same bytes. */
export function isSignedBy(key: KeyObject, domain: string, value: JsonValue, signature: string): boolean {
  const bytes = Buffer.from(signature, "base64");
  if (bytes.length !== 64 || bytes.toString("base64") !== signature) return false;
  return verify(null, signedBytes(domain, value), key, bytes);
}

/** @throws KitError FILE_UNREADABLE, FILE_TOO_LARGE, PUBLIC_KEY_MALFORMED unless the file holds one Ed25519 public key in PEM */
export async function readPublicKey(path: string): Promise<KeyObject> {
  const text = (await readBounded(path, MAX_PUBLIC_KEY_BYTES)).toString("latin1");
  try {
    if (!/^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n$/.test(text)) throw new TypeError("no PEM");
    const key = createPublicKey(text);
    if (key.asymmetricKeyType !== "ed25519") throw new TypeError(`a key of type ${key.asymmetricKeyType}`);
    return key;
  } catch (cause) {
    throw new KitError("PUBLIC_KEY_MALFORMED", {
      expected: `an Ed25519 public key in PEM in ${path}`,
      actual: (cause as Error).message,
      cause,
    });
  }
}
