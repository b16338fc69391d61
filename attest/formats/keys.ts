import { createPublicKey, type KeyObject } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { type Sha256, sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";
import { isMlDsaSpki, rawMlDsaKey } from "./ml-dsa.ts";

/** A public key file is a few hundred bytes, 2.7 KB for ML-DSA-65; more than this is not one. */
export const MAX_KEY_FILE_BYTES = 4096;

/** ECDSA over P-256 with SHA-256 and a DER signature, or pure ML-DSA-65 (FIPS 204) with an empty context. */
export const KEY_ALGORITHMS = ["ecdsa-p256", "ml-dsa-65"] as const;
export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number];

/**
 * Everything before the two coordinates in the SubjectPublicKeyInfo (RFC 5480): SEQUENCE headers, the OIDs of ecPublicKey and prime256v1,
 * a BIT STRING header, and 04 for an uncompressed point. OpenSSL also reads compressed ones, which would give a key two fingerprints.
 */
const P256_SPKI_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");

interface Identified {
  /** SHA-256 of the SubjectPublicKeyInfo in DER: what people compare and what `--fingerprint` takes. */
  readonly fingerprint: Sha256;
}
export interface EcdsaPublicKey extends Identified {
  readonly algorithm: "ecdsa-p256";
  readonly key: KeyObject;
}
/** Without a KeyObject, so that it can be read where OpenSSL does not know the algorithm. */
export interface MlDsaPublicKey extends Identified {
  readonly algorithm: "ml-dsa-65";
  /** The 1952 bytes of FIPS 204's pkEncode. */
  readonly raw: Buffer;
}
export type PublicKey = EcdsaPublicKey | MlDsaPublicKey;

/** Where the user's own keys lie: $SECAI_KEYS, else below the XDG data directory. */
export function defaultKeysDirectory(env: Readonly<Record<string, string | undefined>>): string {
  return env.SECAI_KEYS || join(env.XDG_DATA_HOME || join(env.HOME || homedir(), ".local/share"), "secai/keys");
}

/**
 * One P-256 or ML-DSA-65 public key in PEM (RFC 7468, SubjectPublicKeyInfo) and nothing else: the file must be the very bytes that an
 * export of the key gives, so that two files with one fingerprint are equal.
 * @throws FormatError KEY_MALFORMED
 */
export function parsePublicKey(pem: Uint8Array): PublicKey {
  try {
    if (pem.length > MAX_KEY_FILE_BYTES) throw new RangeError(`${pem.length} bytes`);
    const given = Buffer.from(pem).toString("latin1");
    const der = Buffer.from(given.split("\n").slice(1, -2).join(""), "base64");
    if (publicKeyPem(der) !== given) throw new RangeError("other text around the key");
    return publicKeyFromDer(der);
  } catch (cause) {
    throw new FormatError("KEY_MALFORMED", {
      expected: "one P-256 or ML-DSA-65 public key in PEM",
      actual: (cause as Error).message,
      cause,
    });
  }
}

function publicKeyFromDer(der: Buffer): PublicKey {
  const fingerprint = sha256(der);
  if (isMlDsaSpki(der)) return { algorithm: "ml-dsa-65", raw: rawMlDsaKey(der), fingerprint };
  const key = createPublicKey({ key: der, format: "der", type: "spki" });
  if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw new RangeError(`a key of type ${key.asymmetricKeyType}`);
  if (!P256_SPKI_PREFIX.equals(der.subarray(0, P256_SPKI_PREFIX.length))) throw new RangeError("another encoding of the key");
  return { algorithm: "ecdsa-p256", key, fingerprint };
}

/** SubjectPublicKeyInfo in DER as PEM, in the one spelling OpenSSL writes: lines of 64 characters. */
export function publicKeyPem(spki: Uint8Array): string {
  const lines =
    Buffer.from(spki)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PUBLIC KEY-----", ...lines, "-----END PUBLIC KEY-----", ""].join("\n");
}

export function fingerprintOf(publicKey: KeyObject): Sha256 {
  return sha256(publicKey.export({ type: "spki", format: "der" }));
}

/** The `publicKey.hint` of a Sigstore bundle, in the form cosign writes: base64 of the fingerprint's bytes. */
export function hintOf({ fingerprint }: Pick<PublicKey, "fingerprint">): string {
  return Buffer.from(fingerprint, "hex").toString("base64");
}
