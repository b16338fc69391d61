import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { FormatError } from "@secai/formats/errors";
import { VerifyError } from "./errors.ts";

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The bytes of a plain file at exactly this name: a symbolic link is not followed, a pipe is not waited for, a file that is too large is
 * not read, and one that changes meanwhile is no answer.
 * @throws VerifyError TARGET_MISSING (none, or no plain file), TARGET_UNREADABLE; FormatError JSON_TOO_LARGE
 */
export async function readPlainFile(path: string, maxBytes: number): Promise<Buffer> {
  const file = await openPlain(path);
  try {
    const before = await file.stat({ bigint: true });
    if (!before.isFile()) throw missing(path, "something else");
    if (before.size > BigInt(maxBytes))
      throw new FormatError("JSON_TOO_LARGE", { expected: `at most ${maxBytes} bytes`, actual: `${before.size}` });
    const bytes = await readExactly(file, Number(before.size));
    const after = await file.stat({ bigint: true });
    if (bytes === undefined || after.size !== before.size || after.mtimeNs !== before.mtimeNs || after.ctimeNs !== before.ctimeNs)
      throw new VerifyError("TARGET_UNREADABLE", {
        expected: `${path} to stay as it is`,
        actual: "it changed while it was read",
      });
    return bytes;
  } catch (cause) {
    if (cause instanceof VerifyError || cause instanceof FormatError) throw cause;
    throw unreadable(path, cause as NodeJS.ErrnoException);
  } finally {
    await file.close();
  }
}

async function openPlain(path: string): Promise<FileHandle> {
  try {
    return await open(path, FLAGS);
  } catch (cause) {
    const error = cause as NodeJS.ErrnoException;
    // open(2): ELOOP is a symbolic link under O_NOFOLLOW, ENXIO a socket.
    if (error.code === "ELOOP") throw missing(path, "a symbolic link", cause);
    if (error.code === "ENOENT" || error.code === "ENOTDIR" || error.code === "ENXIO") throw missing(path, "none", cause);
    throw unreadable(path, error);
  }
}

async function readExactly(file: FileHandle, length: number): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(length);
  for (let position = 0; position < length; ) {
    const { bytesRead } = await file.read(bytes, position, length - position, position);
    if (bytesRead === 0) return undefined;
    position += bytesRead;
  }
  return bytes;
}

function missing(path: string, actual: string, cause?: unknown): VerifyError {
  return new VerifyError("TARGET_MISSING", {
    expected: `a plain file ${path}`,
    actual,
    fix: "Name the file itself, not a link, a folder or a pipe.",
    cause,
  });
}

function unreadable(path: string, cause: NodeJS.ErrnoException): VerifyError {
  return new VerifyError("TARGET_UNREADABLE", { expected: `to read ${path}`, actual: cause.code ?? cause.message, cause });
}
