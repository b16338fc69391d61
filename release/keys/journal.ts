import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Files to write and to remove in a directory, all or none. */
export interface FileChanges {
  /** Content by name below the directory. */
  readonly write: ReadonlyMap<string, { readonly content: string | Uint8Array; readonly mode: 0o600 | 0o644 }>;
  readonly remove: readonly string[];
}

const PENDING = ".pending";
const FILES = "files";
const REMOVALS = "removals.json";

/**
 * Everything is written to a folder of its own first; the rename of that folder is the moment of change. What is left after it, moving each
 * file to its place, is done again by whoever looks next if this process dies.
 */
export async function commitChanges(dir: string, { write, remove }: FileChanges): Promise<void> {
  await finishChanges(dir);
  const fresh = await mkdtemp(join(dir, ".new-"));
  try {
    for (const [name, { content, mode }] of write) await writeDurably(join(fresh, FILES, name), content, mode);
    await writeDurably(join(fresh, REMOVALS), JSON.stringify(remove.filter((name) => !write.has(name))), 0o600);
    await rename(fresh, join(dir, PENDING));
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  await finishChanges(dir);
}

/** Whether a change was decided and is not yet complete. */
export function isInterrupted(dir: string): boolean {
  return existsSync(join(dir, PENDING));
}

/** Completes a change that was decided and then interrupted. Only for who holds the directory's lock. */
export async function finishChanges(dir: string): Promise<void> {
  const pending = join(dir, PENDING);
  const removals = await readFile(join(pending, REMOVALS), "utf8").catch(undefinedIfMissing);
  if (removals === undefined) return;
  for (const name of await filesBelow(join(pending, FILES))) {
    await mkdir(dirname(join(dir, name)), { recursive: true, mode: 0o700 });
    await rename(join(pending, FILES, name), join(dir, name));
  }
  for (const name of JSON.parse(removals) as string[]) await rm(join(dir, name), { force: true });
  await rm(pending, { recursive: true });
}

async function writeDurably(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, "wx", mode);
  try {
    await file.writeFile(content);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function filesBelow(top: string): Promise<readonly string[]> {
  const entries = await readdir(top, { recursive: true, withFileTypes: true }).catch(undefinedIfMissing);
  const files = (entries ?? []).filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(top.length + 1)).sort();
}

function undefinedIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
