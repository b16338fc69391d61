import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, readSync } from "node:fs";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { RuntimeError } from "./runtime-errors.ts";

const CHUNK_BYTES = 256 * 1024;
/** Largest file whose digest is taken, in bytes: bundles, programs and settings are small. */
const MAX_HASHED_BYTES = 64 * 1024 * 1024;

/**
 * A whole file of at most `maxBytes`, read until its end: the size that procfs and securityfs report is 0, and a pipe has none.
 * @throws RuntimeError EVIDENCE_TOO_LARGE; whatever the system says when it cannot be read
 */
export function readWhole(path: string, maxBytes: number): Buffer {
  const file = openSync(path, constants.O_RDONLY);
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    for (;;) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, maxBytes + 1 - length));
      const count = readSync(file, chunk, 0, chunk.length, null);
      length += count;
      if (length > maxBytes)
        throw new RuntimeError("EVIDENCE_TOO_LARGE", { expected: `${path} of at most ${maxBytes} bytes`, actual: "more" });
      if (count === 0) return Buffer.concat(chunks, length);
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
}

/**
 * A file that the caller named.
 * @throws RuntimeError RUNTIME_FILE_UNREADABLE, EVIDENCE_TOO_LARGE
 */
export function readInput(path: string, maxBytes: number): Buffer {
  try {
    return readWhole(path, maxBytes);
  } catch (cause) {
    if (cause instanceof RuntimeError) throw cause;
    throw new RuntimeError("RUNTIME_FILE_UNREADABLE", { expected: `to read ${path}`, actual: (cause as Error).message, cause });
  }
}

/** Digest of a regular file's content, whatever a link leads to; null when there is none that can be read: not there, damaged, no file, too large. */
export function digestOf(path: string): Sha256 | null {
  let file: number;
  try {
    // Without O_NONBLOCK a pipe in a file's place would hold the collector for ever.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return null;
  }
  try {
    if (!fstatSync(file).isFile()) return null;
    return hashOpen(file);
  } catch {
    return null;
  } finally {
    closeSync(file);
  }
}

function hashOpen(file: number): Sha256 | null {
  const hash = createHash("sha256");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let length = 0; length <= MAX_HASHED_BYTES; ) {
    const count = readSync(file, chunk, 0, chunk.length, null);
    if (count === 0) return hash.digest("hex") as Sha256;
    hash.update(chunk.subarray(0, count));
    length += count;
  }
  return null;
}

/** As `digestOf`, but a symbolic link counts for itself: the digest of its target's text. */
export function digestOfEntry(path: string): Sha256 | null {
  try {
    return lstatSync(path).isSymbolicLink() ? sha256(readlinkSync(path)) : digestOf(path);
  } catch {
    return null;
  }
}
