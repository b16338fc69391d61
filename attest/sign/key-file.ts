import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { decryptKey, encryptKey, isEncryptedKey } from "./encrypted-key.ts";
import { SignError } from "./errors.ts";
import type { PassphraseSource } from "./passphrase.ts";

/** PKCS#8 of ML-DSA-65 with its 4032-byte expanded key is 5.6 KB in PEM, encrypted 7.9 KB. */
const MAX_PRIVATE_KEY_FILE_BYTES = 16 << 10;

export type SigningKey = PublicKey & {
  readonly privateKey: KeyObject;
  /** The public half as SubjectPublicKeyInfo in PEM: the bytes of a release.pub. */
  readonly publicPem: string;
};

export interface LoadOptions {
  /** Asked only when the file is encrypted. */
  readonly passphrase?: PassphraseSource;
}

/**
 * Loads a P-256 or ML-DSA-65 private key that nobody but this user can read: PKCS#8 PEM, or cosign's encrypted file. The checks are made
 * on the opened file, so that it cannot be exchanged between check and read.
 * @throws SignError KEY_MISSING, KEY_EXPOSED, KEY_UNUSABLE, KEY_ENCRYPTED (no passphrase source), KEY_PASSPHRASE_WRONG
 */
export async function loadSigningKey(path: string, options: LoadOptions = {}): Promise<SigningKey> {
  const file = await openKey(path);
  try {
    const { size } = await requirePrivate(file, path);
    if (size > MAX_PRIVATE_KEY_FILE_BYTES)
      throw new SignError("KEY_UNUSABLE", { expected: "a key file", actual: `${size} bytes` });
    const content = await file.readFile();
    try {
      return toSigningKey(await privateKeyOf(content, path, options), path);
    } finally {
      content.fill(0);
    }
  } finally {
    await file.close();
  }
}

/**
 * Writes the private key to a new file of mode 0600: PKCS#8 PEM, or encrypted as cosign does it when there is a passphrase.
 * @throws SignError KEY_EXISTS: a key is never overwritten
 */
export async function saveSigningKey(path: string, key: SigningKey, passphrase?: Uint8Array): Promise<void> {
  const content =
    passphrase === undefined
      ? key.privateKey.export({ type: "pkcs8", format: "pem" }).toString()
      : await encryptKey(key.privateKey.export({ type: "pkcs8", format: "der" }), passphrase);
  const file = await createKey(path);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function createKey(path: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
    throw new SignError("KEY_EXISTS", { expected: `${path}: no such file yet`, actual: "a file", cause });
  }
}

async function openKey(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new SignError("KEY_MISSING", { expected: path, actual: "no such file", cause });
    throw new SignError("KEY_EXPOSED", { expected: `${path}: a plain file of mode 0600`, actual: code ?? "unreadable", cause });
  }
}

async function requirePrivate(file: FileHandle, path: string): Promise<{ readonly size: number }> {
  const { mode, uid, size } = await file.stat();
  const kind = mode & constants.S_IFMT;
  const permissions = mode & 0o7777;
  if (kind !== constants.S_IFREG || permissions !== 0o600 || uid !== process.geteuid?.()) {
    throw new SignError("KEY_EXPOSED", {
      expected: `${path}: a plain file of mode 0600, owned by user ${process.geteuid?.()}`,
      actual: `mode 0${permissions.toString(8)}, owner ${uid}`,
      fix: `Run: chmod 600 ${path}`,
    });
  }
  return { size };
}

async function privateKeyOf(content: Buffer, path: string, { passphrase }: LoadOptions): Promise<KeyObject> {
  const encrypted = isEncryptedKey(content.toString("latin1"));
  if (encrypted && passphrase === undefined)
    throw new SignError("KEY_ENCRYPTED", { expected: "a passphrase", actual: `none for ${path}` });
  try {
    if (!encrypted || passphrase === undefined) return createPrivateKey({ key: content, format: "pem" });
    return await openEncrypted(content.toString("latin1"), passphrase, path);
  } catch (cause) {
    if (cause instanceof SignError) throw cause;
    throw new SignError("KEY_UNUSABLE", {
      expected: `${path}: PKCS#8 PEM or an encrypted Sigstore key`,
      actual: "another",
      cause,
    });
  }
}

async function openEncrypted(pem: string, source: PassphraseSource, path: string): Promise<KeyObject> {
  const passphrase = await source(`Passphrase of ${path}: `);
  try {
    const der = await decryptKey(pem, passphrase);
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    der.fill(0);
    return key;
  } finally {
    passphrase.fill(0);
  }
}

/** @throws SignError KEY_UNUSABLE when it is of an algorithm that our verifier does not read */
export function toSigningKey(privateKey: KeyObject, path: string): SigningKey {
  const publicPem = createPublicKey(privateKey).export({ type: "spki", format: "pem" }).toString();
  try {
    return { ...parsePublicKey(Buffer.from(publicPem)), privateKey, publicPem };
  } catch (cause) {
    const actual = `a key of type ${privateKey.asymmetricKeyType}`;
    throw new SignError("KEY_UNUSABLE", { expected: `${path}: a P-256 or ML-DSA-65 key`, actual, cause });
  }
}
