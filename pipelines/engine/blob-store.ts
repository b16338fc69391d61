import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { chmod, mkdir, open, rename, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";

/** Files by the digest of their content. Whoever commits a file has hashed it; `cache verify` hashes them all again. */
export interface BlobStore {
  /** Also marks the blob as used now, for the collection of the least recently used. */
  has(sha256: Sha256): Promise<boolean>;
  path(sha256: Sha256): string;
  /** Where to download to. The same for every try, so that a broken download can be resumed. */
  partialPath(sha256: Sha256): string;
  /** Makes a finished file part of the store: durable, 0444, all at once. The content must have been hashed by the caller. */
  commit(sha256: Sha256, partialPath: string): Promise<void>;
}

/** @param directory made when it is missing; blobs lie in sha256/ab/<hex>, unfinished ones in partial/<hex> */
export function createBlobStore(directory: string): BlobStore {
  mkdirSync(join(directory, "partial"), { recursive: true });
  const path = (sha256: Sha256): string => join(directory, "sha256", sha256.slice(0, 2), sha256);
  return {
    path,
    partialPath: (sha256) => join(directory, "partial", sha256),
    async has(sha256) {
      const now = new Date();
      return utimes(path(sha256), now, now).then(
        () => true,
        () => false,
      );
    },
    async commit(sha256, partialPath) {
      const target = path(sha256);
      await mkdir(dirname(target), { recursive: true });
      await syncFile(partialPath);
      await chmod(partialPath, 0o444);
      await rename(partialPath, target);
      await syncDirectory(dirname(target));
    },
  };
}

/** Flushes a file's content to the disk, so that a name given to it later never points at missing bytes. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

export const syncDirectory = syncFile;

/** Writes a new file and flushes it to the disk. @throws EEXIST */
export async function writeDurably(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes a small file so that readers see the old content or the new, never a part. */
export async function writeFileAtomically(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  await writeDurably(temporary, content, 0o644);
  await rename(temporary, path);
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
