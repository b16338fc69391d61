import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { KitError, type KitErrorCode } from "./errors.ts";

/** 64 lower-case hex digits: 32 random bytes. */
export type Credential = string;

const READ_REGULAR = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The bytes of a regular file that is no symbolic link (O_NONBLOCK: a FIFO in its place must not hang us).
 * @throws KitError FILE_UNREADABLE, FILE_TOO_LARGE
 */
export async function readBounded(path: string, maxBytes: number): Promise<Buffer> {
  const file = await openRegular(path, "FILE_UNREADABLE");
  try {
    return await readAtMost(file, path, maxBytes);
  } finally {
    await file.close();
  }
}

/**
 * A credential as systemd's LoadCredential= and secure-ai-credentials.service leave it: regular, one link, private, 64 lower-case hex
 * digits and an optional newline.
 * @throws KitError CREDENTIAL_MISSING, CREDENTIAL_MALFORMED
 */
export async function readCredential(path: string): Promise<Credential> {
  const file = await openRegular(path, "CREDENTIAL_MISSING");
  try {
    const { mode, nlink, uid, gid, size } = await file.stat();
    if (!isPrivateMode(mode & 0o7777, uid, gid)) malformed(path, "mode 0600 or 0400", `mode 0${(mode & 0o7777).toString(8)}`);
    if (nlink !== 1) malformed(path, "one link", `${nlink} links`);
    if (size !== 64 && size !== 65) malformed(path, "64 or 65 bytes", `${size} bytes`);
    const text = (await readAtMost(file, path, 65)).toString("latin1");
    if (!/^[0-9a-f]{64}\n?$/.test(text)) malformed(path, "64 lower-case hex digits", "other characters");
    return text.slice(0, 64);
  } finally {
    await file.close();
  }
}

// systemd gives a credential to a service's user by an ACL where the file system has ACLs; stat then shows the ACL's mask as 0440.
function isPrivateMode(mode: number, uid: number, gid: number): boolean {
  return mode === 0o600 || mode === 0o400 || (mode === 0o440 && uid === 0 && gid === 0);
}

function malformed(path: string, expected: string, actual: string): never {
  throw new KitError("CREDENTIAL_MALFORMED", { expected: `${path}: ${expected}`, actual });
}

async function openRegular(path: string, missing: KitErrorCode): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, READ_REGULAR);
  } catch (cause) {
    throw new KitError(missing, {
      expected: `a readable file ${path}`,
      actual: (cause as NodeJS.ErrnoException).code ?? "-",
      cause,
    });
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new KitError(missing, { expected: `a regular file ${path}`, actual: "something else" });
}

async function readAtMost(file: FileHandle, path: string, maxBytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(maxBytes + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
  }
  throw new KitError("FILE_TOO_LARGE", { expected: `at most ${maxBytes} bytes in ${path}`, actual: "more" });
}

/** Replaces a file so that a crash leaves the old or the new bytes, never a mixture: temp file, fsync, rename, fsync of the directory. */
export async function writeAtomic(path: string, bytes: string | Uint8Array, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Makes creations, renames and removals in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}
