import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { chmod, lstat, mkdir, mkdtemp, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CodedError } from "@secai/formats/errors";
import { PublishError } from "./errors.ts";

/** Told of every piece that was read; what it throws ends the work. */
export type Watch = (file: Expected, done: number) => void;

/** What a file must be for its copy to count. */
export interface Expected {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

const READ_NO_FOLLOW = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const WRITE_NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;

/**
 * Copies a file while hashing it, onto the medium (fsync).
 * @throws PublishError PUBLISH_FILE_CHANGED when it is not what is expected
 */
export async function copyHashed(from: string, to: string, expected: Expected, watch: Watch): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o755 });
  const output = await open(to, WRITE_NEW, 0o644);
  try {
    for await (const { chunk, done } of readHashed(from, expected)) {
      await output.writeFile(chunk);
      watch(expected, done);
    }
    await output.sync();
  } finally {
    await output.close();
  }
  await chmod(to, 0o644);
}

/** Reads a file through and compares it. @throws PublishError PUBLISH_FILE_CHANGED */
export async function requireHash(path: string, expected: Expected): Promise<void> {
  for await (const _ of readHashed(path, expected));
}

/**
 * A file in pieces, with the bytes so far; throws after the last piece when the whole is not what is expected.
 * @throws PublishError PUBLISH_FILE_CHANGED
 */
export async function* readHashed(
  path: string,
  { name, size, sha256 }: Expected,
): AsyncIterable<{ readonly chunk: Buffer; readonly done: number }> {
  const file = await open(path, READ_NO_FOLLOW);
  const hash = createHash("sha256");
  let done = 0;
  try {
    if (!(await file.stat()).isFile()) throw changed(name, sha256, "no plain file");
    // One byte past the end, so that a file that grew is noticed.
    for await (const chunk of file.createReadStream({ highWaterMark: 1 << 20, start: 0, end: size, autoClose: false })) {
      hash.update(chunk as Buffer);
      done += (chunk as Buffer).length;
      if (done > size) throw changed(name, `${size} bytes`, "more");
      yield { chunk: chunk as Buffer, done };
    }
  } finally {
    await file.close();
  }
  const actual = hash.digest("hex");
  if (done !== size || actual !== sha256) throw changed(name, `${size} bytes, ${sha256}`, `${done} bytes, ${actual}`);
}

const changed = (name: string, expected: string, actual: string) =>
  new PublishError("PUBLISH_FILE_CHANGED", { expected: `${name}: ${expected}`, actual });

/** Whether anything at all has this path, a dangling link included. */
export async function isTaken(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

/**
 * Lets `fill` build a directory beside `out` and gives it that name when it is done; nobody sees it half-made, and nothing that is there
 * is touched. A dry run throws the finished directory away.
 * @throws PublishError PUBLISH_TARGET_DIFFERS (taken), PUBLISH_TARGET_FAILED; whatever of ours `fill` throws
 */
export async function buildNew(out: string, fill: (dir: string) => Promise<void>, { keep = true } = {}): Promise<void> {
  const target = resolve(out);
  if (await isTaken(target)) throw new PublishError("PUBLISH_TARGET_DIFFERS", { expected: "a path that is free", actual: out });
  let partial: string | undefined;
  try {
    partial = await mkdtemp(join(dirname(target), `.${basename(target)}.partial-`));
    await chmod(partial, 0o755);
    await fill(partial);
    // rename(2) replaces an empty directory that came meanwhile, and refuses any other.
    if (keep) await rename(partial, target);
    if (keep) await syncDirectory(dirname(target));
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw new PublishError("PUBLISH_TARGET_FAILED", { expected: out, actual: (cause as Error).message, cause });
  } finally {
    if (partial !== undefined) await rm(partial, { recursive: true, force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const dir = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}
