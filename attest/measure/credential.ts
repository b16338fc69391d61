import {
  constants,
  createCipheriv,
  createHash,
  createHmac,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { MeasureError } from "./errors.ts";
import type { PublicArea } from "./public-area.ts";

// Credential protection (TPM 2.0 Part 1, 24): something that only the TPM with this endorsement key can open, and only while the named
// object is loaded in it. The key derivations are the specification's; every primitive is node:crypto's.

const HASH_BITS = 256;
const CIPHER_BITS = 128;
/** Largest secret: one digest of the name algorithm. */
const MAX_SECRET_BYTES = 32;

const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
const u32 = (value: number) => Buffer.from([value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255]);
const sized = (bytes: Uint8Array) => Buffer.concat([u16(bytes.length), bytes]);
const label = (text: string) => Buffer.from(`${text}\0`, "latin1");

/** KDFa: NIST SP 800-108 in counter mode with HMAC-SHA-256, one block (TPM 2.0 Part 1, 11.4.10.2). */
function kdfa(key: Uint8Array, purpose: string, context: Uint8Array, bits: 128 | 256): Buffer {
  const block = createHmac("sha256", key).update(u32(1)).update(label(purpose)).update(context).update(u32(bits)).digest();
  return block.subarray(0, bits / 8);
}

/** KDFe: NIST SP 800-56A with SHA-256, one block (TPM 2.0 Part 1, 11.4.10.3). */
function kdfe(shared: Uint8Array, purpose: string, partyU: Uint8Array, partyV: Uint8Array): Buffer {
  return createHash("sha256").update(u32(1)).update(shared).update(label(purpose)).update(partyU).update(partyV).digest();
}

interface Seed {
  readonly seed: Buffer;
  /** TPM2B_ENCRYPTED_SECRET. */
  readonly encrypted: Buffer;
}

function rsaSeed(key: KeyObject): Seed {
  const seed = randomBytes(HASH_BITS / 8);
  const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256", oaepLabel: label("IDENTITY") };
  return { seed, encrypted: sized(publicEncrypt({ key, ...padding }, seed)) };
}

function coordinates(key: KeyObject): readonly [x: Buffer, y: Buffer] {
  const { x = "", y = "" } = key.export({ format: "jwk" });
  return [Buffer.from(x, "base64url"), Buffer.from(y, "base64url")];
}

function eccSeed(key: KeyObject): Seed {
  const ephemeral = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: key });
  const [x, y] = coordinates(ephemeral.publicKey);
  const [theirs] = coordinates(key);
  return { seed: kdfe(shared, "IDENTITY", x, theirs), encrypted: sized(Buffer.concat([sized(x), sized(y)])) };
}

function seedFor({ key }: PublicArea): Seed {
  if (key.asymmetricKeyType === "rsa") return rsaSeed(key);
  if (key.asymmetricKeyDetails?.namedCurve === "prime256v1") return eccSeed(key);
  throw new MeasureError("EK_MALFORMED", { expected: "an RSA or P-256 key", actual: "another" });
}

/**
 * A challenge for the TPM with `endorsementKey` and the object called `name` (hex): TPM2B_ID_OBJECT, then TPM2B_ENCRYPTED_SECRET. Who
 * answers with `secret` has both in one TPM (TPM2_ActivateCredential, TPM 2.0 Part 3, 12.5).
 * @throws MeasureError EK_MALFORMED
 */
export function makeCredential(endorsementKey: PublicArea, name: string, secret: Uint8Array): Buffer {
  if (secret.length > MAX_SECRET_BYTES) throw new RangeError(`a secret of at most ${MAX_SECRET_BYTES} bytes`);
  const { seed, encrypted } = seedFor(endorsementKey);
  const object = Buffer.from(name, "hex");
  const cipher = createCipheriv("aes-128-cfb", kdfa(seed, "STORAGE", object, CIPHER_BITS), Buffer.alloc(16));
  const identity = Buffer.concat([cipher.update(sized(secret)), cipher.final()]);
  const key = kdfa(seed, "INTEGRITY", new Uint8Array(), HASH_BITS);
  const integrity = createHmac("sha256", key).update(identity).update(object).digest();
  return Buffer.concat([sized(Buffer.concat([sized(integrity), identity])), encrypted]);
}
