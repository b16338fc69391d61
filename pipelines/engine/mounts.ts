import { randomUUID } from "node:crypto";
import { chmod, link, mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecStep } from "../step.ts";
import type { Cache } from "./cache.ts";
import { type FileLock, lockFile } from "./lock.ts";
import type { Bind } from "./sandbox.ts";

/** Where a folder lies that steps keep between runs. */
export const mountFolder = (cache: Cache, name: string): string => join(cache.directory, "mounts", name);
/** No name of a folder begins with a dot. */
const IDENTITY_FILE = ".identity";

export async function mountNames(cache: Cache): Promise<readonly string[]> {
  const names = await readdir(join(cache.directory, "mounts")).catch(() => []);
  return names.filter((name) => !name.startsWith("."));
}

/** The kept folders of a step by name, in an order in which every step locks them, so that no two wait for each other. */
export function mountsOf({ caches = {} }: Pick<ExecStep, "caches">): { readonly name: string; readonly path: string }[] {
  const mounts = Object.entries(caches).map(([path, { name }]) => ({ name, path }));
  return mounts.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Does `work` with the step's kept folders, each of them its alone meanwhile (as Dagger's CacheSharingMode LOCKED).
 * @throws EngineError CACHE_LOCK_FAILED, BUILD_CANCELLED
 */
export async function withMounts<T>(
  cache: Cache,
  step: Pick<ExecStep, "caches">,
  signal: AbortSignal | undefined,
  work: (binds: readonly Bind[]) => Promise<T>,
): Promise<T> {
  const locks: FileLock[] = [];
  try {
    const binds: Bind[] = [];
    for (const { name, path } of mountsOf(step)) {
      locks.push(await lockFile(join(cache.directory, "locks", `mount-${name}`), signal));
      binds.push({ src: await openFolder(cache, name), dst: path, writable: true });
    }
    return await work(binds);
  } finally {
    for (const lock of locks.reverse()) await lock.release();
  }
}

/** Marks it as used now. */
async function openFolder(cache: Cache, name: string): Promise<string> {
  const folder = mountFolder(cache, name);
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o755);
  const now = new Date();
  await utimes(folder, now, now);
  return folder;
}

/**
 * Names the kept folders of this cache for an engine that holds them elsewhere. Another cache has another identity, so a second build
 * that is to prove the first one starts with empty folders on every engine; so does a build after the folders were removed.
 */
export async function mountsIdentity(cache: Cache): Promise<string> {
  const path = mountFolder(cache, IDENTITY_FILE);
  const known = await readFile(path, "utf8").catch(() => undefined);
  if (known !== undefined) return known;
  await mkdir(join(cache.directory, "mounts"), { recursive: true });
  const draft = `${path}-${randomUUID()}`;
  await writeFile(draft, randomUUID());
  // Two runs may come here at once: a link, unlike a rename, keeps the first.
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await rm(draft);
  return await readFile(path, "utf8");
}

/** Engines elsewhere will start with empty folders too. */
export async function forgetMounts(cache: Cache): Promise<void> {
  await rm(mountFolder(cache, IDENTITY_FILE), { force: true });
}
