import { createHash } from "node:crypto";
import { constants, type Dirent } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { MAX_MODELS } from "./baseline.ts";
import { GpuWatchError } from "./errors.ts";
import { printable } from "./outcome.ts";

const MODEL_NAME = /\.(gguf|bin|safetensors)$/i;
const MAX_DEPTH = 8;
const MAX_ENTRIES = 65_536;
const CHUNK_BYTES = 1 << 20;

/** What stands in the place of a digest for something with a model's name that is no plain file. */
const NO_FILE = "0".repeat(64);

interface Known {
  /** device:inode:size:mtime:ctime in nanoseconds. Only the kernel sets the ctime. */
  readonly identity: string;
  readonly digest: string;
  /** Checks since it was read. */
  age: number;
}

export interface TensorReader {
  /**
   * SHA-256 of every model by its path below the folder, links not followed; undefined without such a folder. Digests of whole files stay
   * known when `signal` ends the rest, so that the next look gets further.
   * @throws GpuWatchError GPU_MODELS_UNREADABLE
   */
  read(folder: string, fullReadEvery: number, signal: AbortSignal): Promise<ReadonlyMap<string, string> | undefined>;
}

export function createTensorReader(): TensorReader {
  let known = new Map<string, Known>();
  return {
    async read(folder, fullReadEvery, signal) {
      const names = await listModels(folder);
      if (names === undefined) return undefined;
      const digests = new Map<string, string>();
      for (const name of names) {
        signal.throwIfAborted();
        const entry = await readModel(join(folder, name), known.get(name), fullReadEvery, signal);
        known.set(name, entry);
        digests.set(keyOf(name), entry.digest);
      }
      known = new Map([...known].filter(([name]) => names.includes(name)));
      return digests;
    },
  };
}

/** A name that cannot be printed is shown as one that can, with its digest, so that no two files share a key. */
function keyOf(name: string): string {
  const shown = printable(name);
  return shown === name ? name : `${shown.slice(0, 256)}#${createHash("sha256").update(name).digest("hex").slice(0, 16)}`;
}

/** Paths below `folder`, sorted; undefined where it does not exist. */
async function listModels(folder: string): Promise<readonly string[] | undefined> {
  const found: string[] = [];
  let entries = 0;
  const waiting: { path: string; depth: number }[] = [{ path: "", depth: 0 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { path, depth } = next;
    const children = await list(join(folder, path));
    if (children === undefined && depth === 0) return undefined;
    entries += children?.length ?? 0;
    if (entries > MAX_ENTRIES) throw unreadable(`at most ${MAX_ENTRIES} entries`, "more");
    for (const child of children ?? []) {
      const name = join(path, child.name);
      if (child.isDirectory() && depth >= MAX_DEPTH) throw unreadable(`at most ${MAX_DEPTH} folders deep`, name);
      if (child.isDirectory()) waiting.push({ path: name, depth: depth + 1 });
      else if (MODEL_NAME.test(child.name)) found.push(name);
    }
  }
  if (found.length > MAX_MODELS) throw unreadable(`at most ${MAX_MODELS} models`, `${found.length}`);
  return found.sort();
}

async function list(folder: string): Promise<readonly Dirent[] | undefined> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unreadable(`a readable folder ${folder}`, (cause as Error).message, cause);
  }
}

async function readModel(path: string, known: Known | undefined, fullReadEvery: number, signal: AbortSignal): Promise<Known> {
  const file = await openModel(path);
  if (file === undefined) return { identity: "none", digest: NO_FILE, age: 0 };
  try {
    const stat = await file.stat({ bigint: true });
    if (!stat.isFile()) return { identity: "none", digest: NO_FILE, age: 0 };
    const identity = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(":");
    if (known?.identity === identity && known.age + 1 < fullReadEvery) return { ...known, age: known.age + 1 };
    return { identity, digest: await hashFile(file, signal), age: 0 };
  } finally {
    await file.close();
  }
}

type Handle = Awaited<ReturnType<typeof open>>;

/** undefined for a link, which is not followed. O_NONBLOCK: a FIFO must not hang us. */
async function openModel(path: string): Promise<Handle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ELOOP" || code === "ENXIO") return undefined;
    throw unreadable(`a readable model ${path}`, code ?? "-", cause);
  }
}

/** In bounded memory; what is read off the disk is hashed on the way, so other requests are answered between two chunks. */
async function hashFile(file: Handle, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, bytesRead));
  }
}

const unreadable = (expected: string, actual: string, cause?: unknown) =>
  new GpuWatchError("GPU_MODELS_UNREADABLE", { expected, actual, cause });
