import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { ByteReader } from "./byte-reader.ts";
import { MeasureError } from "./errors.ts";

const ALG_RSA = 0x0001;
const ALG_SHA256 = 0x000b;
const ALG_AES = 0x0006;
const ALG_NULL = 0x0010;
const ALG_CFB = 0x0043;
const ALG_ECC = 0x0023;
const MAX_KEY_BYTES = 512;
/** RSA keys below this are not accepted (NIST SP 800-131A). */
const MIN_RSA_BITS = 2048;
const DEFAULT_EXPONENT = 65537;
const CURVES: ReadonlyMap<number, { readonly name: string; readonly bytes: number }> = new Map([
  [0x0003, { name: "P-256", bytes: 32 }],
  [0x0004, { name: "P-384", bytes: 48 }],
]);

/** TPMA_OBJECT bits that decide whether a key can only ever have signed what the TPM itself made (TPM 2.0 Part 2, 8.3). */
const ATTRIBUTE_BITS = {
  fixedTPM: 1 << 1,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const;
export type Attribute = keyof typeof ATTRIBUTE_BITS;
/** What an attestation key has: made inside this TPM, never leaves it, signs nothing that only looks like a quote. */
export const AK_ATTRIBUTES: readonly Attribute[] = ["fixedTPM", "fixedParent", "sensitiveDataOrigin", "restricted", "sign"];

/** What a storage key such as an endorsement key has: made inside this TPM, never leaves it, decrypts only what the TPM understands. */
export const EK_ATTRIBUTES: readonly Attribute[] = ["fixedTPM", "fixedParent", "sensitiveDataOrigin", "restricted", "decrypt"];

/** TPM2B_PUBLIC of an asymmetric key (TPM 2.0 Part 2, 12.2.4). */
export interface PublicArea {
  readonly key: KeyObject;
  readonly attributes: readonly Attribute[];
  /** Name of the object: 000b and the SHA-256 of the public area, hex. */
  readonly name: string;
  /** SHA-256 of the DER SubjectPublicKeyInfo: what enrolment pins. */
  readonly fingerprint: Sha256;
}

/** Reads TPMT_SYM_DEF_OBJECT and TPMT_*_SCHEME, of which only one kind will do. */
type Parameters = (reader: ByteReader) => void;

/** A restricted signing key has no symmetric part and a scheme with one hash. */
function signingParameters(reader: ByteReader): void {
  if (reader.u16be() !== ALG_NULL) reader.fail("a signing key without a symmetric algorithm", "a storage key");
  if (reader.u16be() !== ALG_NULL && reader.u16be() !== ALG_SHA256) reader.fail("a scheme with SHA-256", "another hash");
}

/** A restricted decryption key protects its children with a symmetric cipher and has no scheme; credentials of ours need AES-128 in CFB mode. */
function storageParameters(reader: ByteReader): void {
  const cipher = [reader.u16be(), reader.u16be(), reader.u16be()].join();
  if (cipher !== [ALG_AES, 128, ALG_CFB].join()) reader.fail("AES-128 in CFB mode", "another cipher");
  if (reader.u16be() !== ALG_NULL) reader.fail("a storage key without a scheme", "one");
}

const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");

function rsaKey(reader: ByteReader, parameters: Parameters): JsonWebKey {
  parameters(reader);
  const bits = reader.u16be();
  const exponent = reader.u32be() || DEFAULT_EXPONENT;
  const modulus = reader.sized(MAX_KEY_BYTES);
  if (bits < MIN_RSA_BITS || modulus.length * 8 !== bits)
    reader.fail(`an RSA modulus of ${MIN_RSA_BITS} bits or more`, `${bits}`);
  if (exponent !== DEFAULT_EXPONENT) reader.fail(`exponent ${DEFAULT_EXPONENT}`, `${exponent}`);
  return { kty: "RSA", n: base64url(modulus), e: "AQAB" };
}

function eccKey(reader: ByteReader, parameters: Parameters): JsonWebKey {
  parameters(reader);
  const curve = CURVES.get(reader.u16be()) ?? reader.fail("curve P-256 or P-384", "another");
  if (reader.u16be() !== ALG_NULL) reader.fail("no key derivation scheme", "one");
  const pad = (value: Uint8Array) => Buffer.concat([Buffer.alloc(Math.max(0, curve.bytes - value.length)), value]);
  const x = pad(reader.sized(curve.bytes));
  const y = pad(reader.sized(curve.bytes));
  return { kty: "EC", crv: curve.name, x: base64url(x), y: base64url(y) };
}

function importKey(jwk: JsonWebKey, code: AreaCode): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: "jwk" });
  } catch (cause) {
    throw new MeasureError(code, { expected: "a valid public key", actual: "a point or modulus that is none", cause });
  }
}

type AreaCode = "AK_MALFORMED" | "EK_MALFORMED";

/** An attestation key. @throws MeasureError AK_MALFORMED, also for trailing bytes */
export function parsePublicArea(bytes: Uint8Array): PublicArea {
  return parseArea(bytes, signingParameters, "AK_MALFORMED");
}

/** An endorsement key. @throws MeasureError EK_MALFORMED, also for trailing bytes */
export function parseEndorsementKey(bytes: Uint8Array): PublicArea {
  return parseArea(bytes, storageParameters, "EK_MALFORMED");
}

function parseArea(bytes: Uint8Array, parameters: Parameters, code: AreaCode): PublicArea {
  const outer = new ByteReader(bytes, code);
  const area = outer.sized(MAX_KEY_BYTES * 2);
  outer.end();
  const reader = new ByteReader(area, code);
  const type = reader.u16be();
  if (reader.u16be() !== ALG_SHA256) reader.fail("a name made with SHA-256", "another hash");
  const flags = reader.u32be();
  reader.sized(64); // authPolicy: who may use the key does not change what it signs
  if (type !== ALG_RSA && type !== ALG_ECC) reader.fail("an RSA or ECC key", `0x${type.toString(16)}`);
  const jwk = type === ALG_RSA ? rsaKey(reader, parameters) : eccKey(reader, parameters);
  reader.end();
  const key = importKey(jwk, code);
  return {
    key,
    attributes: (Object.keys(ATTRIBUTE_BITS) as Attribute[]).filter((name) => (flags & ATTRIBUTE_BITS[name]) !== 0),
    name: `000b${sha256(area)}`,
    fingerprint: sha256(key.export({ type: "spki", format: "der" })),
  };
}

/** Attributes an attestation key must have and lacks, and `decrypt` if it has that. Empty for a proper one. */
export function attributeFaults({ attributes }: Pick<PublicArea, "attributes">): readonly string[] {
  const missing = AK_ATTRIBUTES.filter((name) => !attributes.includes(name)).map((name) => `no ${name}`);
  return attributes.includes("decrypt") ? [...missing, "decrypt"] : missing;
}
