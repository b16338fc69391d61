import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Sha256, sha256File } from "@secai/formats/digest";
import type { OutputRecord, StepRecord } from "../step.ts";
import { type Cache, entryKeys } from "./cache.ts";
import { removeItem } from "./gc.ts";
import { parseRecord } from "./record.ts";
import { sourceDigest } from "./source-digest.ts";
import { treeDigest } from "./tree-digest.ts";

export interface BadItem {
  readonly path: string;
  readonly reason: string;
}

export interface CacheReport {
  readonly items: number;
  readonly bytes: number;
  /** All of these have been removed. */
  readonly bad: readonly BadItem[];
}

interface Checked {
  readonly path: string;
  readonly bytes: number;
  /** Why it cannot be trusted; undefined when it can. */
  readonly reason?: string;
}

/**
 * Hashes every output, blob and source again and removes what is not what its record or name says. The caller holds
 * `cache.useLockPath` alone.
 */
export async function verifyCache(cache: Cache, onItem: (path: string) => void = () => {}): Promise<CacheReport> {
  const results: Checked[] = [];
  for await (const result of checkAll(cache)) {
    onItem(result.path);
    results.push(result);
  }
  const bad = results.flatMap(({ path, reason }) => (reason === undefined ? [] : [{ path, reason }]));
  for (const { path } of bad) await removeItem(cache, path);
  return { items: results.length, bytes: results.reduce((sum, { bytes }) => sum + bytes, 0), bad };
}

async function* checkAll(cache: Cache): AsyncGenerator<Checked> {
  for (const key of await entryKeys(cache)) yield await checkEntry(cache, key);
  const blobs = join(cache.directory, "blobs", "sha256");
  for (const folder of await list(blobs)) {
    for (const name of await list(join(blobs, folder))) yield await checkBlob(join(blobs, folder, name), name);
  }
  const sources = join(cache.directory, "sources");
  for (const name of await list(sources)) yield await checkSource(join(sources, name), name);
}

const list = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

async function checkEntry(cache: Cache, key: Sha256): Promise<Checked> {
  const path = join(cache.directory, "steps", key);
  const bytes = await readFile(join(path, "record.json")).catch(() => undefined);
  const record = bytes === undefined ? undefined : parseRecord(bytes, key);
  if (record === undefined) return { path, bytes: 0, reason: "its record is missing or damaged" };
  const reason = await firstBadOutput(cache, record);
  const size = Object.values(record.outputs).reduce((sum, output) => sum + output.size, 0);
  return reason === undefined ? { path, bytes: size } : { path, bytes: size, reason };
}

async function firstBadOutput(cache: Cache, record: StepRecord): Promise<string | undefined> {
  const names = await list(join(cache.directory, "steps", record.key, "outputs"));
  const extra = names.find((name) => !Object.hasOwn(record.outputs, name));
  if (extra !== undefined) return `output ${extra} is not in its record`;
  for (const [name, output] of Object.entries(record.outputs)) {
    const digest = await digestOf(cache.outputPath(record.key, name), output).catch((error: Error) => error.message);
    if (digest !== output.digest) return `output ${name} of step ${record.id}: expected ${output.digest}, got ${digest}`;
  }
  return undefined;
}

async function digestOf(path: string, { type }: OutputRecord): Promise<string> {
  const stats = await lstat(path);
  if (type === "directory" ? !stats.isDirectory() : !stats.isFile()) return `not a ${type}`;
  return type === "directory" ? (await treeDigest(path)).digest : sha256File(path);
}

async function checkBlob(path: string, name: string): Promise<Checked> {
  const { size } = await lstat(path);
  const digest = await sha256File(path);
  return digest === name ? { path, bytes: size } : { path, bytes: size, reason: `expected ${name}, got ${digest}` };
}

async function checkSource(path: string, name: string): Promise<Checked> {
  try {
    const digest = sourceDigest(join(path, "content"));
    return digest === name ? { path, bytes: 0 } : { path, bytes: 0, reason: `expected ${name}, got ${digest}` };
  } catch (error) {
    return { path, bytes: 0, reason: (error as Error).message };
  }
}
