import { randomBytes, scrypt } from "node:crypto";
import { promisify } from "node:util";
import { base64Text, parseBase64 } from "@secai/formats/base64";
import { parseJson } from "@secai/formats/canonical-json";
import { integer, literal, object, parseShape, type TypeOf } from "@secai/formats/shape";
import { SignError } from "./errors.ts";

// The private key file of cosign: PEM around JSON around NaCl secretbox under a scrypt key;
// https://github.com/secure-systems-lab/go-securesystemslib/blob/main/encrypted/encrypted.go

const LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY";
const PEM =
  /^-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)-----END ENCRYPTED \1 PRIVATE KEY-----\n?$/;
const KEY_BYTES = 32;
const NONCE_BYTES = 24;
const SALT_BYTES = 32;
/** 128 * N * r is what scrypt takes: 64 MiB with N = 65536, which OpenSSL's own limit of 32 MiB would refuse. */
const MAX_SCRYPT_BYTES = 160 << 20;
const MAX_FILE_BYTES = 16 << 10;

/**
 * The file chooses how much work its reader does, so the parameters are a short list: those cosign has written (N = 32768 until
 * version 2.0, 65536 since) and twice that.
 */
const encryptedShape = object({
  kdf: object({
    name: literal("scrypt"),
    params: object({ N: literal(32_768, 65_536, 131_072), r: literal(8), p: integer(1, 1) }),
    salt: base64Text(88),
  }),
  cipher: object({ name: literal("nacl/secretbox"), nonce: base64Text(32) }),
  ciphertext: base64Text(12 << 10),
});
type ScryptParameters = TypeOf<typeof encryptedShape>["kdf"]["params"];

export const isEncryptedKey = (pem: string): boolean => /^-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----$/m.test(pem);

/**
 * The PKCS#8 DER inside. The caller wipes it and the passphrase.
 * @throws FormatError on a file that is not of this kind; SignError KEY_PASSPHRASE_WRONG
 */
export async function decryptKey(pem: string, passphrase: Uint8Array): Promise<Buffer> {
  const [, , encoded = ""] = PEM.exec(pem) ?? [];
  const parsed = parseJson(parseBase64(encoded.replaceAll("\n", "")), MAX_FILE_BYTES);
  const { kdf, cipher, ciphertext } = parseShape(encryptedShape, parsed, "an encrypted Sigstore private key");
  const nonce = parseBase64(cipher.nonce);
  if (nonce.length !== NONCE_BYTES)
    throw new SignError("KEY_UNUSABLE", { expected: "a nonce of 24 bytes", actual: `${nonce.length}` });
  const key = await deriveKey(passphrase, parseBase64(kdf.salt), kdf.params);
  const { secretbox } = await import("@noble/ciphers/salsa.js");
  try {
    return Buffer.from(secretbox(key, nonce).open(parseBase64(ciphertext)));
  } catch (cause) {
    throw new SignError("KEY_PASSPHRASE_WRONG", { cause });
  } finally {
    key.fill(0);
  }
}

/** The file of a private key (PKCS#8 DER) under a passphrase, as cosign writes and reads it. */
export async function encryptKey(pkcs8: Uint8Array, passphrase: Uint8Array): Promise<string> {
  const params: ScryptParameters = { N: 65_536, r: 8, p: 1 };
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const key = await deriveKey(passphrase, salt, params);
  const { secretbox } = await import("@noble/ciphers/salsa.js");
  const ciphertext = Buffer.from(secretbox(key, nonce).seal(pkcs8));
  key.fill(0);
  const content = {
    kdf: { name: "scrypt", params, salt: salt.toString("base64") },
    cipher: { name: "nacl/secretbox", nonce: nonce.toString("base64") },
    ciphertext: ciphertext.toString("base64"),
  };
  const lines =
    Buffer.from(JSON.stringify(content))
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${LABEL}-----`, ...lines, `-----END ${LABEL}-----`, ""].join("\n");
}

async function deriveKey(passphrase: Uint8Array, salt: Uint8Array, { N, r, p }: ScryptParameters): Promise<Buffer> {
  const derive = promisify<Uint8Array, Uint8Array, number, object, Buffer>(scrypt);
  return await derive(passphrase, salt, KEY_BYTES, { N, r, p, maxmem: MAX_SCRYPT_BYTES });
}
