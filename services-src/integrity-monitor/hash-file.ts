import { createHash, type Hash } from "node:crypto";
import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open, readlink } from "node:fs/promises";

/** What makes a file the same one: unchanged, the bytes that were hashed are the bytes that are there. Small, because there are many. */
export interface Identity {
  readonly dev: string;
  /** Inode, size, and both times in ns. */
  readonly inode: string;
  /** Bytes. */
  readonly size: number;
}

/** Why a file has no digest. "moving": it did not stay the same while it was read, several times in a row. */
export type Fault = "missing" | "unreadable" | "linked" | "special" | "moving";
export type HashOutcome =
  | { readonly sha256: string; readonly identity: Identity }
  | { readonly fault: Fault; readonly detail: string };

/** Bytes of one read. Two such buffers are all that hashing needs, however large the file: one is read into while the other is hashed. */
export const CHUNK_BYTES = 1 << 20;
const ATTEMPTS = 3;
// O_NONBLOCK: a FIFO in a file's place must not hang us.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface Hasher {
  /** Called after each chunk with its bytes; may wait (to spread the work) or throw (to give up). */
  readonly pace?: (bytes: number) => Promise<void> | undefined;
  readonly buffers: readonly [Buffer, Buffer];
}

export const createBuffers = (): readonly [Buffer, Buffer] => [
  Buffer.allocUnsafeSlow(CHUNK_BYTES),
  Buffer.allocUnsafeSlow(CHUNK_BYTES),
];

export function identityOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): Identity {
  return {
    dev: dev.toString(36),
    inode: [ino, size, mtimeNs, ctimeNs].map((one) => one.toString(36)).join(" "),
    size: Number(size),
  };
}

export function isSame(a: Identity, b: Identity): boolean {
  return a.dev === b.dev && a.inode === b.inode;
}

/** As `isSame`, on whatever device: an overlay gives the files below it a device number of its own. */
export const isSameInode = (a: Identity, b: Identity): boolean => a.inode === b.inode;

/**
 * SHA-256 of a regular file at exactly this path: neither it nor any directory on the way may be a symbolic link, and it must be the same
 * file with the same times before and after the reading and when its name is looked up again afterwards.
 * @param path absolute, itself free of links up to the root of what is watched
 */
export async function hashFile(path: string, hasher: Hasher): Promise<HashOutcome> {
  let last: HashOutcome = { fault: "moving", detail: "" };
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    last = await attemptHash(path, hasher);
    if (!("fault" in last) || last.fault !== "moving") return last;
  }
  return last;
}

async function attemptHash(path: string, hasher: Hasher): Promise<HashOutcome> {
  const hash = createHash("sha256");
  const read = await readInto(hash, path, hasher);
  return "fault" in read ? read : { sha256: hash.digest("hex"), identity: read.identity };
}

export type ReadOutcome =
  | { readonly identity: Identity; readonly links: bigint }
  | Extract<HashOutcome, { readonly fault: Fault }>;

/** Adds a file's bytes to a hash. `before` gets the size that will be read, before the first byte is. */
export async function readInto(
  hash: Hash,
  path: string,
  { buffers, pace }: Hasher,
  before: (size: bigint) => void = () => {},
): Promise<ReadOutcome> {
  let file: FileHandle;
  try {
    file = await open(path, FLAGS);
  } catch (error) {
    return faultOf(error);
  }
  try {
    const first = await file.stat({ bigint: true });
    if (!first.isFile()) return { fault: "special", detail: "no regular file" };
    const real = await readlink(`/proc/self/fd/${file.fd}`);
    if (real === `${path} (deleted)`) return { fault: "moving", detail: "replaced while it was opened" };
    if (real !== path) return { fault: "linked", detail: real };
    before(first.size);
    const length = await pump(file, hash, buffers, pace);
    const identity = identityOf(await file.stat({ bigint: true }));
    const moved = BigInt(length) !== first.size || !isSame(identity, identityOf(first)) || !(await isStillAt(path, identity));
    return moved ? { fault: "moving", detail: "changed while it was read" } : { identity, links: first.nlink };
  } catch (error) {
    return faultOf(error);
  } finally {
    await file.close();
  }
}

/** Whether the name still leads to what was read: a file that is replaced meanwhile keeps its own times. */
async function isStillAt(path: string, identity: Identity): Promise<boolean> {
  const again = await open(path, FLAGS);
  try {
    return isSame(identityOf(await again.stat({ bigint: true })), identity);
  } finally {
    await again.close();
  }
}

async function pump(
  file: FileHandle,
  hash: Hash,
  [first, second]: readonly [Buffer, Buffer],
  pace: Hasher["pace"],
): Promise<number> {
  let [current, next] = [first, second];
  let length = 0;
  let pending = file.read(current, 0, CHUNK_BYTES, 0);
  for (;;) {
    const { bytesRead } = await pending;
    if (bytesRead === 0) return length;
    length += bytesRead;
    pending = file.read(next, 0, CHUNK_BYTES, length);
    hash.update(current.subarray(0, bytesRead));
    [current, next] = [next, current];
    const wait = pace?.(bytesRead);
    if (wait !== undefined) await settled(wait, pending);
  }
}

/** Waits, and lets no read go on into a buffer that somebody else gets when the wait is given up. */
async function settled(wait: Promise<void>, pending: Promise<unknown>): Promise<void> {
  try {
    await wait;
  } catch (error) {
    await pending.catch(() => undefined);
    throw error;
  }
}

/** The work was given up; it says nothing about the file. */
export class Abandoned extends Error {}

function faultOf(error: unknown): Extract<HashOutcome, { readonly fault: Fault }> {
  if (error instanceof Abandoned) throw error;
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (code === "ENOENT" || code === "ENOTDIR") return { fault: "missing", detail: "not there" };
  if (code === "ELOOP") return { fault: "linked", detail: "a symbolic link" };
  if (code === "") throw error;
  return { fault: "unreadable", detail: code };
}
