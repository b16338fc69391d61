import { createHash, type Hash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";

/**
 * A file on its way. Bytes are only ever written to a file that this download has made itself: two processes that fetch the same
 * thing never share one, and nobody who still has it open can change it after it was hashed. What an earlier download left is copied.
 */
export interface PartialFile {
  readonly path: string;
  /** Bytes so far. */
  readonly size: number;
  /** Whether some of them came from an earlier download, so that a wrong hash says nothing of the mirror yet. */
  readonly resumed: boolean;
  append(chunk: Uint8Array): Promise<void>;
  /** Starts again at the first byte. */
  reset(): Promise<void>;
  digest(): Sha256;
  close(): Promise<void>;
  /** Leaves what is there for the next download. */
  keep(): Promise<void>;
  discard(): Promise<void>;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Files that earlier downloads of `resting` left: given back in order, or lost by a process that is no more. */
async function leftovers(resting: string): Promise<string[]> {
  const prefix = `${basename(resting)}.`;
  const names = await readdir(dirname(resting)).catch(() => []);
  const orphans = names.filter((name) => {
    const [pid] = name.startsWith(prefix) ? name.slice(prefix.length).split(".") : [];
    return pid !== undefined && /^[1-9][0-9]*$/.test(pid) && !isAlive(Number(pid));
  });
  return [resting, ...orphans.map((name) => join(dirname(resting), name))];
}

async function copyInto(handle: FileHandle, hash: Hash, path: string, limit: number): Promise<number> {
  let size = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, end: limit - 1 }) as AsyncIterable<Buffer>) {
    await handle.write(chunk, 0, chunk.length, size);
    hash.update(chunk);
    size += chunk.length;
  }
  return size;
}

/**
 * @param resting where unfinished downloads of this file rest, from `BlobStore.partialPath`
 * @param limit the size of the whole file, in bytes
 */
export async function openPartial(resting: string, limit: number): Promise<PartialFile> {
  const path = `${resting}.${process.pid}.${randomUUID()}`;
  const handle = await open(path, "wx", 0o600);
  let hash = createHash("sha256");
  let size = 0;
  for (const leftover of await leftovers(resting)) {
    const claimed = `${path}.claimed`;
    // Of two processes that want the same leftover, one's rename fails.
    if (
      !(await rename(leftover, claimed).then(
        () => true,
        () => false,
      ))
    )
      continue;
    if (size === 0) size = await copyInto(handle, hash, claimed, limit);
    await rm(claimed, { force: true });
  }
  let resumed = size > 0;
  return {
    path,
    get size() {
      return size;
    },
    get resumed() {
      return resumed;
    },
    async append(chunk) {
      await handle.write(chunk, 0, chunk.length, size);
      hash.update(chunk);
      size += chunk.length;
    },
    async reset() {
      await handle.truncate(0);
      hash = createHash("sha256");
      size = 0;
      resumed = false;
    },
    digest: () => hash.copy().digest("hex") as Sha256,
    close: () => handle.close(),
    async keep() {
      await handle.close();
      await (size > 0 ? rename(path, resting) : rm(path, { force: true }));
    },
    async discard() {
      await handle.close();
      await rm(path, { force: true });
    },
  };
}
