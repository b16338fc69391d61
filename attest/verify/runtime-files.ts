import { closeSync, constants, openSync, readSync } from "node:fs";
import { RuntimeError } from "./runtime-errors.ts";

/**
 * A whole file of at most `maxBytes`, read until its end: the size that procfs and securityfs report is 0, and a pipe has none.
 * @throws RuntimeError EVIDENCE_TOO_LARGE; whatever the system says when it cannot be read
 */
export function readWhole(path: string, maxBytes: number): Buffer {
  const file = openSync(path, constants.O_RDONLY);
  try {
    const buffer = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (let count = -1; count !== 0 && length < buffer.length; length += count) {
      count = readSync(file, buffer, length, buffer.length - length, null);
    }
    if (length > maxBytes)
      throw new RuntimeError("EVIDENCE_TOO_LARGE", { expected: `${path} of at most ${maxBytes} bytes`, actual: "more" });
    return buffer.subarray(0, length);
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
