import { randomUUID } from "node:crypto";
import { chmod, lstat, mkdir, readdir, readFile, rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";
import type { OutputRecord, StepRecord } from "../step.ts";
import { type BlobStore, createBlobStore, syncDirectory, writeDurably } from "./blob-store.ts";
import { flushTree } from "./durable.ts";
import { parseRecord, printRecord } from "./record.ts";

/**
 * The content store of the local engine:
 *
 *     steps/<key>/record.json       the sealed record, written last
 *     steps/<key>/outputs/<name>    a file or a tree
 *     blobs/sha256/ab/<hex>         fetched files
 *     mounts/<name>                 folders that steps keep between runs
 *     tmp/<pid>-<uuid>/             work of one process
 *     locks/, logs/<step>.log
 */
export interface Cache {
  readonly directory: string;
  readonly blobs: BlobStore;
  /** The record of a finished step whose outputs are all there; marks it as used now. Contents are checked by `verifyCache`, not here. */
  lookup(key: Sha256): Promise<StepRecord | undefined>;
  outputPath(key: Sha256, name: string): string;
  /** Makes `entry` (a folder below `tmp/` that holds `outputs/`) the entry of the record's key, all at once and durable. */
  publish(record: StepRecord, entry: string): Promise<void>;
  logPath(stepId: string): string;
  /** Held while a step is made, so that two runs do not make it twice. */
  lockPath(key: Sha256): string;
  /** Held shared by every run, alone by whoever removes something. */
  readonly useLockPath: string;
  /** A new private folder of this process. */
  makeTemporary(): Promise<string>;
}

export function createCache(directory: string): Cache {
  const entryPath = (key: Sha256): string => join(directory, "steps", key);
  const outputPath = (key: Sha256, name: string): string => join(entryPath(key), "outputs", name);
  return {
    directory,
    blobs: createBlobStore(join(directory, "blobs")),
    outputPath,
    logPath: (stepId) => join(directory, "logs", `${stepId.replaceAll(/[^A-Za-z0-9._-]/g, "_")}.log`),
    lockPath: (key) => join(directory, "locks", key),
    useLockPath: join(directory, "locks", "use"),
    async lookup(key) {
      const recordPath = join(entryPath(key), "record.json");
      const bytes = await readFile(recordPath).catch(() => undefined);
      if (bytes === undefined) return undefined;
      const record = parseRecord(bytes, key);
      if (record === undefined || !(await outputsPresent(record, (name) => outputPath(key, name)))) return undefined;
      const now = new Date();
      await utimes(recordPath, now, now);
      return record;
    },
    async publish(record, entry) {
      await flushTree(join(entry, "outputs"));
      await writeDurably(join(entry, "record.json"), printRecord(record), 0o444);
      await chmod(entry, 0o755);
      await mkdir(join(directory, "steps"), { recursive: true });
      await replaceDirectory(entry, entryPath(record.key));
      await syncDirectory(join(directory, "steps"));
    },
    async makeTemporary() {
      const path = join(directory, "tmp", `${process.pid}-${randomUUID()}`);
      await mkdir(path, { recursive: true, mode: 0o700 });
      return path;
    },
  };
}

/** Puts `from` in the place of whatever is at `to`: an entry there was judged unusable by `lookup`. */
async function replaceDirectory(from: string, to: string): Promise<void> {
  const old = `${from}.old`;
  await rename(to, old).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  await rename(from, to);
  await rm(old, { recursive: true, force: true });
}

async function outputsPresent(record: StepRecord, pathOf: (name: string) => string): Promise<boolean> {
  const checks = Object.entries(record.outputs).map(([name, output]) => outputPresent(pathOf(name), output));
  return (await Promise.all(checks)).every(Boolean);
}

async function outputPresent(path: string, output: OutputRecord): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  if (output.type === "directory") return stats?.isDirectory() === true;
  return stats?.isFile() === true && stats.size === output.size;
}

/** Keys of all entries, also of broken ones. */
export async function entryKeys(cache: Cache): Promise<Sha256[]> {
  const names = await readdir(join(cache.directory, "steps")).catch(() => []);
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name)) as Sha256[];
}
