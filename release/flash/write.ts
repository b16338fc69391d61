import { createHash } from "node:crypto";
import { FlashError } from "./errors.ts";
import type { Measured } from "./image.ts";
import type { Target } from "./target.ts";

/** The part of a disk that makes it bootable: boot sector, GPT header and entries (UEFI 2.10 §5.3), ISO 9660 volume descriptors. */
export const HEAD_BYTES = 1 << 20;

export interface Writing {
  /** Hands the image to `take` in order; the digest it returns was computed on the way. */
  readonly read: (take: (chunk: Buffer) => Promise<void>, signal?: AbortSignal) => Promise<Measured>;
  readonly target: Target;
  /** What the first pass measured. */
  readonly expected: Measured;
  readonly signal?: AbortSignal;
  readonly onWritten?: (bytes: number) => void;
  readonly onReadBack?: (bytes: number) => void;
}

/**
 * Writes an image so that a device is bootable only when all of it is there: the old head is erased first, the new one is written last,
 * after everything else has reached the medium. Then the whole is read back and compared.
 * @throws FlashError FLASH_INTERRUPTED, FLASH_WRITE_FAILED, FLASH_IMAGE_CHANGED, FLASH_READBACK_DIFFERS, FLASH_READBACK_FAILED
 */
export async function writeImage(writing: Writing): Promise<void> {
  const head = Buffer.alloc(Math.min(HEAD_BYTES, writing.expected.size));
  await guarded(writing, async () => {
    await writing.target.write(head, 0);
    await writing.target.flush();
    requireSame(writing.expected, await writeBody(writing, head));
    await writing.target.flush();
    await writing.target.write(head, 0);
    await writing.target.flush();
  });
  await compare(writing);
}

/** Writes all but the head, which it puts into `head`. */
async function writeBody({ read, target, expected, signal, onWritten }: Writing, head: Buffer): Promise<Measured> {
  let position = 0;
  return await read(async (chunk) => {
    signal?.throwIfAborted();
    if (position + chunk.length > expected.size)
      throw new FlashError("FLASH_IMAGE_CHANGED", { expected: `${expected.size} bytes`, actual: "more" });
    const kept = Math.max(0, Math.min(chunk.length, head.length - position));
    chunk.copy(head, position, 0, kept);
    if (kept < chunk.length) await target.write(chunk.subarray(kept), position + kept);
    position += chunk.length;
    onWritten?.(position);
  }, signal);
}

function requireSame(expected: Measured, actual: Measured): void {
  if (expected.sha256 !== actual.sha256)
    throw new FlashError("FLASH_IMAGE_CHANGED", { expected: expected.sha256, actual: actual.sha256 });
}

/** Any failure on the way leaves a device that does not boot, and says so. */
async function guarded({ signal }: Writing, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    if (signal?.aborted === true) throw new FlashError("FLASH_INTERRUPTED", { cause });
    if (cause instanceof FlashError) throw cause;
    throw new FlashError("FLASH_WRITE_FAILED", { expected: "every write to succeed", actual: (cause as Error).message, cause });
  }
}

async function compare({ target, expected, signal, onReadBack }: Writing): Promise<void> {
  const hash = createHash("sha256");
  let done = 0;
  try {
    for await (const chunk of target.readBack(expected.size)) {
      signal?.throwIfAborted();
      hash.update(chunk);
      done += chunk.length;
      onReadBack?.(done);
    }
  } catch (cause) {
    throw new FlashError("FLASH_READBACK_FAILED", {
      expected: `${expected.size} bytes`,
      actual: (cause as Error).message,
      cause,
    });
  }
  const actual = hash.digest("hex");
  if (done !== expected.size || actual !== expected.sha256)
    throw new FlashError("FLASH_READBACK_DIFFERS", {
      expected: `${expected.size} bytes, ${expected.sha256}`,
      actual: `${done} bytes, ${actual}`,
    });
}
