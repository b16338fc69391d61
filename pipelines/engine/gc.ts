import { lstat, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";
import { type Cache, entryKeys } from "./cache.ts";
import { forgetMounts, mountFolder, mountNames } from "./mounts.ts";
import { parseRecord } from "./record.ts";
import { removeTree } from "./remove.ts";

export const DEFAULT_MAX_CACHE_BYTES = 40 * 2 ** 30;

/** Something that can be removed on its own. */
export interface CacheItem {
  readonly kind: "step" | "blob" | "partial" | "source" | "program" | "mount";
  readonly path: string;
  /** Step id, or the digest or file name. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly usedAt: Date;
}

export interface Collected {
  readonly removed: readonly CacheItem[];
  readonly keptBytes: number;
}

/** Every item of the cache, the least recently used first. */
export async function listCache(cache: Cache): Promise<CacheItem[]> {
  const lists = await Promise.all([
    listSteps(cache),
    listBlobs(cache),
    listFolder("partial", join(cache.directory, "blobs", "partial")),
    listFolder("source", join(cache.directory, "sources")),
    listFolder("program", join(cache.directory, "programs")),
    listMounts(cache),
  ]);
  return lists.flat().sort((a, b) => a.usedAt.getTime() - b.usedAt.getTime());
}

/**
 * Removes the least recently used items until the rest is at most `maxBytes`, and what dead processes left behind. The caller holds
 * `cache.useLockPath` alone, so nothing here is in use.
 */
export async function cleanAndCollect(cache: Cache, maxBytes: number): Promise<Collected> {
  await removeLeftovers(cache);
  const items = await listCache(cache);
  let keptBytes = items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const removed: CacheItem[] = [];
  for (const item of items) {
    if (keptBytes <= maxBytes) break;
    await removeItem(cache, item.path);
    keptBytes -= item.sizeBytes;
    removed.push(item);
  }
  return { removed, keptBytes };
}

/** Removes the folders that steps keep between runs, here and, as their identity goes too, on engines elsewhere. Alone as above. */
export async function removeMounts(cache: Cache): Promise<readonly CacheItem[]> {
  const removed = await listMounts(cache);
  for (const { path } of removed) await removeItem(cache, path);
  await forgetMounts(cache);
  return removed;
}

/** Moves it away first, so that a process killed half-way leaves no half-removed entry. */
export async function removeItem(cache: Cache, path: string): Promise<void> {
  const grave = await cache.makeTemporary();
  await rename(path, join(grave, "item"));
  await removeTree(grave);
}

/** Collecting reads every record, which a run with nothing to do would notice; so runs do it once an hour. */
const COLLECT_INTERVAL_MS = 3_600_000;

/** What a run does when it starts alone: always removes leftovers, collects when that was not done lately. */
export async function tidy(cache: Cache, maxBytes: number): Promise<void> {
  const stamp = join(cache.directory, "collected");
  const last = await lstat(stamp).catch(() => undefined);
  if (last !== undefined && Math.abs(Date.now() - last.mtimeMs) < COLLECT_INTERVAL_MS) return await removeLeftovers(cache);
  await cleanAndCollect(cache, maxBytes);
  await writeFile(stamp, "");
}

async function removeLeftovers(cache: Cache): Promise<void> {
  const temporary = join(cache.directory, "tmp");
  await mkdir(temporary, { recursive: true });
  for (const name of await readdir(temporary)) await removeTree(join(temporary, name));
  const locks = join(cache.directory, "locks");
  for (const name of await readdir(locks)) if (join(locks, name) !== cache.useLockPath) await removeTree(join(locks, name));
}

async function listSteps(cache: Cache): Promise<CacheItem[]> {
  return Promise.all((await entryKeys(cache)).map((key) => readStep(cache, key)));
}

/** An entry that nobody can use counts as not used since 1970, so it goes first. */
async function readStep(cache: Cache, key: Sha256): Promise<CacheItem> {
  const path = join(cache.directory, "steps", key);
  const recordPath = join(path, "record.json");
  const bytes = await readFile(recordPath).catch(() => Buffer.alloc(0));
  const record = parseRecord(bytes, key);
  if (record === undefined) return { kind: "step", path, name: key, sizeBytes: 0, usedAt: new Date(0) };
  const outputs = Object.values(record.outputs).reduce((sum, { size }) => sum + size, 0);
  const { mtime } = await lstat(recordPath);
  return { kind: "step", path, name: record.id, sizeBytes: outputs + bytes.length, usedAt: mtime };
}

async function listBlobs(cache: Cache): Promise<CacheItem[]> {
  const top = join(cache.directory, "blobs", "sha256");
  const folders = await readdir(top).catch(() => []);
  const items = folders.map(async (folder) => {
    const names = await readdir(join(top, folder));
    return Promise.all(names.map((name) => readItem("blob", join(top, folder, name), name)));
  });
  return (await Promise.all(items)).flat();
}

async function listMounts(cache: Cache): Promise<CacheItem[]> {
  const names = await mountNames(cache);
  return Promise.all(names.map((name) => readItem("mount", mountFolder(cache, name), name)));
}

async function listFolder(kind: CacheItem["kind"], folder: string): Promise<CacheItem[]> {
  const names = await readdir(folder).catch(() => []);
  return Promise.all(names.map((name) => readItem(kind, join(folder, name), name)));
}

async function readItem(kind: CacheItem["kind"], path: string, name: string): Promise<CacheItem> {
  const stats = await lstat(path);
  return { kind, path, name, sizeBytes: stats.isDirectory() ? await sizeOfTree(path) : stats.size, usedAt: stats.mtime };
}

async function sizeOfTree(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  // A step may be at work in a folder that is kept between runs: what is gone meanwhile counts nothing.
  const gone = (): { size: number } => ({ size: 0 });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => lstat(join(entry.parentPath, entry.name)).catch(gone));
  return (await Promise.all(files)).reduce((sum, { size }) => sum + size, 0);
}
