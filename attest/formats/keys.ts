import { createPublicKey, type KeyObject } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { type Sha256, sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";

/** A public key file is a few hundred bytes; more than this is not one. */
export const MAX_KEY_FILE_BYTES = 4096;

export interface PublicKey {
  readonly key: KeyObject;
  /** SHA-256 of the SubjectPublicKeyInfo in DER: what people compare and what `--fingerprint` takes. */
  readonly fingerprint: Sha256;
}

/** Where the user's own keys lie: $SECAI_KEYS, else below the XDG data directory. */
export function defaultKeysDirectory(env: Readonly<Record<string, string | undefined>>): string {
  return env.SECAI_KEYS || join(env.XDG_DATA_HOME || join(env.HOME || homedir(), ".local/share"), "secai/keys");
}

/**
 * One P-256 public key in PEM (RFC 7468, SubjectPublicKeyInfo) and nothing else: the file must be the very bytes that an export of
 * the key gives, so that two files with one fingerprint are equal.
 * @throws FormatError KEY_MALFORMED
 */
export function parsePublicKey(pem: Uint8Array): PublicKey {
  try {
    if (pem.length > MAX_KEY_FILE_BYTES) throw new RangeError(`${pem.length} bytes`);
    const given = Buffer.from(pem).toString("latin1");
    const key = createPublicKey(given);
    if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw new RangeError(`a key of type ${key.asymmetricKeyType}`);
    if (key.export({ type: "spki", format: "pem" }) !== given) throw new RangeError("other text around the key");
    return { key, fingerprint: fingerprintOf(key) };
  } catch (cause) {
    throw new FormatError("KEY_MALFORMED", { expected: "one P-256 public key in PEM", actual: (cause as Error).message, cause });
  }
}

export function fingerprintOf(publicKey: KeyObject): Sha256 {
  return sha256(publicKey.export({ type: "spki", format: "der" }));
}

/** The `publicKey.hint` of a Sigstore bundle, in the form cosign writes: base64 of the fingerprint's bytes. */
export function hintOf({ fingerprint }: Pick<PublicKey, "fingerprint">): string {
  return Buffer.from(fingerprint, "hex").toString("base64");
}
