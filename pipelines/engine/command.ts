import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { CommandIo } from "../io.ts";
import { bytes as formatBytes, parseBytes } from "../progress/units.ts";
import { type Cache, createCache } from "./cache.ts";
import { EngineError } from "./errors.ts";
import { type CacheItem, type Collected, cleanAndCollect, DEFAULT_MAX_CACHE_BYTES, listCache, removeMounts } from "./gc.ts";
import { tryLockFile } from "./lock.ts";
import { verifyCache } from "./verify-cache.ts";

const HELP = `secai cache COMMAND [OPTIONS]

  ls                    list what is kept, the least recently used first
  gc [--max-size SIZE]  remove the least recently used until SIZE is left (default ${formatBytes(DEFAULT_MAX_CACHE_BYTES)})
  gc --mounts           remove what steps keep between runs (compilers' caches), nothing else
  verify                hash everything again and remove what is damaged

  --json                one JSON document instead of text

Examples:
  scripts/secai cache ls
  scripts/secai cache gc --max-size 10GiB
  scripts/secai cache gc --max-size 0      # empty it
  scripts/secai cache gc --mounts          # the next compile starts from nothing
  scripts/secai cache verify --json

Exit status: 0 done, 1 something was damaged (and is removed), 2 wrong use, 3 another run uses the cache.
`;

/** @returns the exit status @throws EngineError CACHE_USAGE, CACHE_BUSY */
export async function runCache(args: readonly string[], io: Pick<CommandIo, "stdout" | "env">): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    io.stdout(HELP);
    return 0;
  }
  const [command, ...rest] = positionals;
  const forGc = [values["max-size"], values.mounts].filter((value) => value !== undefined).length;
  if (rest.length > 0 || forGc > (command === "gc" ? 1 : 0)) throw usage(args.join(" "));
  const cache = createCache(cacheDirectory(io.env));
  const json = values.json === true;
  switch (command) {
    case "ls":
      return await list(cache, json, io);
    case "gc":
      return await alone(cache, () =>
        values.mounts === true ? collectMounts(cache, json, io) : collect(cache, maxBytes(values["max-size"]), json, io),
      );
    case "verify":
      return await alone(cache, () => verify(cache, json, io));
    default:
      throw usage(command ?? "no command");
  }
}

/** Where this user's cache lies (XDG base directory specification), unless SECAI_CACHE says otherwise. */
export function cacheDirectory(env: Readonly<Record<string, string | undefined>>): string {
  return env.SECAI_CACHE ?? join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "secai");
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
        "max-size": { type: "string" },
        mounts: { type: "boolean" },
      },
    });
  } catch (error) {
    throw usage((error as Error).message);
  }
}

function usage(actual: string): EngineError {
  return new EngineError("CACHE_USAGE", { expected: "ls, gc [--max-size SIZE | --mounts] or verify", actual });
}

function maxBytes(text: string | undefined): number {
  if (text === undefined) return DEFAULT_MAX_CACHE_BYTES;
  const size = parseBytes(text);
  if (size === undefined) throw new EngineError("CACHE_USAGE", { expected: "a size like 500MiB or 10GiB", actual: text });
  return size;
}

/** @throws EngineError CACHE_BUSY */
async function alone(cache: Cache, work: () => Promise<number>): Promise<number> {
  const lock = await tryLockFile(cache.useLockPath);
  if (lock === undefined) throw new EngineError("CACHE_BUSY");
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

async function list(cache: Cache, json: boolean, { stdout }: Pick<CommandIo, "stdout">): Promise<number> {
  const items = await listCache(cache);
  const total = sizeOf(items);
  if (json) stdout(`${JSON.stringify({ directory: cache.directory, sizeBytes: total, items })}\n`);
  else {
    const [files, others] = [items.filter(isFetched), items.filter((item) => !isFetched(item))];
    for (const { kind, name, sizeBytes, usedAt } of others) {
      stdout(`${usedAt.toISOString().slice(0, 19)}Z  ${formatBytes(sizeBytes).padStart(9)}  ${kind.padEnd(7)}  ${name}\n`);
    }
    stdout(`${files.length} fetched files, ${formatBytes(sizeOf(files))}\n`);
    stdout(`${items.length} items, ${formatBytes(total)} in ${cache.directory}\n`);
  }
  return 0;
}

/** Too many to name in a text for people. */
const isFetched = ({ kind }: CacheItem): boolean => kind === "blob" || kind === "partial";
const sizeOf = (items: readonly CacheItem[]): number => items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

type Output = Pick<CommandIo, "stdout">;

async function collect(cache: Cache, max: number, json: boolean, io: Output): Promise<number> {
  const { removed, keptBytes } = await cleanAndCollect(cache, max);
  return tellCollected(cache, { removed, keptBytes }, json, io);
}

async function collectMounts(cache: Cache, json: boolean, io: Output): Promise<number> {
  const removed = await removeMounts(cache);
  return tellCollected(cache, { removed, keptBytes: sizeOf(await listCache(cache)) }, json, io);
}

function tellCollected({ directory }: Cache, { removed, keptBytes }: Collected, json: boolean, { stdout }: Output): number {
  const freed = sizeOf(removed);
  stdout(
    json
      ? `${JSON.stringify({ directory, removed, freedBytes: freed, keptBytes })}\n`
      : `removed ${removed.length} items (${formatBytes(freed)}), kept ${formatBytes(keptBytes)}\n`,
  );
  return 0;
}

async function verify(cache: Cache, json: boolean, { stdout }: Pick<CommandIo, "stdout">): Promise<number> {
  const report = await verifyCache(cache);
  if (json) stdout(`${JSON.stringify({ directory: cache.directory, ...report })}\n`);
  else {
    for (const { path, reason } of report.bad) stdout(`removed ${path}: ${reason}\n`);
    stdout(`${report.items} items, ${formatBytes(report.bytes)} checked, ${report.bad.length} damaged\n`);
  }
  return report.bad.length === 0 ? 0 : 1;
}
