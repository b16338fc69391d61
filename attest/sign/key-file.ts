import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { SignError } from "./errors.ts";

/** PKCS#8 of ML-DSA-65 with its 4032-byte expanded key is 5.6 KB in PEM, encrypted and as JSON 7.7 KB. */
const MAX_PRIVATE_KEY_FILE_BYTES = 16 << 10;

export type SigningKey = PublicKey & {
  readonly privateKey: KeyObject;
  /** The public half as SubjectPublicKeyInfo in PEM: the bytes of a release.pub. */
  readonly publicPem: string;
};

/**
 * Loads a P-256 private key (PKCS#8 PEM, unencrypted) that nobody but this user can read. The checks are made on the opened file, so
 * that it cannot be exchanged between check and read.
 * @throws SignError KEY_MISSING, KEY_EXPOSED, KEY_UNUSABLE
 */
export async function loadSigningKey(path: string): Promise<SigningKey> {
  const file = await openKey(path);
  try {
    const { size } = await requirePrivate(file, path);
    if (size > MAX_PRIVATE_KEY_FILE_BYTES)
      throw new SignError("KEY_UNUSABLE", { expected: "a key file", actual: `${size} bytes` });
    return toSigningKey(await file.readFile(), path);
  } finally {
    await file.close();
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

function toSigningKey(pem: Buffer, path: string): SigningKey {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey({ key: pem, format: "pem" });
  } catch (cause) {
    throw new SignError("KEY_UNUSABLE", { expected: `${path}: PKCS#8 PEM`, actual: "something else", cause });
  } finally {
    pem.fill(0);
  }
  const publicPem = createPublicKey(privateKey).export({ type: "spki", format: "pem" }).toString();
  try {
    return { ...parsePublicKey(Buffer.from(publicPem)), privateKey, publicPem };
  } catch (cause) {
    const actual = `a key of type ${privateKey.asymmetricKeyType}`;
    throw new SignError("KEY_UNUSABLE", { expected: `${path}: a P-256 or ML-DSA-65 key`, actual, cause });
  }
}
