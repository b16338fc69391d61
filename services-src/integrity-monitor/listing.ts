import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { type Identity, identityOf } from "./hash-file.ts";
import type { Target } from "./policy.ts";

/** Something that is there. */
export interface Found {
  /** As the machine names it, without the prefix that tests put before every path. */
  readonly path: string;
  readonly type: "file" | "link" | "special";
  readonly identity: Identity;
}

export function foundAt(path: string, stat: BigIntStats): Found {
  const type = stat.isFile() ? "file" : stat.isSymbolicLink() ? "link" : "special";
  return { path, type, identity: identityOf(stat) };
}

export interface Listing {
  readonly found: readonly Found[];
  /** Every directory that was looked into, and those that hold single files: what to watch for events. */
  readonly folders: readonly string[];
  /** Places that could not be listed, by system error. */
  readonly failed: readonly { readonly path: string; readonly detail: string }[];
}

/** More entries than any of ours has: whoever makes more of them wants to wear us out. */
export const MAX_LISTED = 25_000;
/** File operations between two turns of the event loop: requests are answered while 10 000 files are looked at. */
const BATCH = 256;

/** Everything but directories that the targets name. What is not there is left out. Links are entries; none is followed. */
export async function list(prefix: string, targets: readonly Pick<Target, "path" | "tree">[]): Promise<Listing> {
  const found = new Map<string, Found>();
  const folders = new Set<string>();
  const failed: { path: string; detail: string }[] = [];
  const waiting: { path: string; tree: boolean }[] = [...targets];
  let steps = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { path, tree } = next;
    steps += 1;
    if (steps % BATCH === 0) await setImmediate();
    if (found.size > MAX_LISTED) {
      failed.push({ path, detail: `more than ${MAX_LISTED} entries` });
      break;
    }
    try {
      const stat = lstatSync(prefix + path, { bigint: true });
      if (tree && stat.isDirectory()) {
        folders.add(path);
        for (const entry of readdirSync(prefix + path)) waiting.push({ path: `${path}/${entry}`, tree: true });
      } else {
        found.set(path, foundAt(path, stat));
        folders.add(parentOf(path));
      }
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "";
      if (code !== "ENOENT" && code !== "ENOTDIR") failed.push({ path, detail: code });
      else folders.add(nearestFolder(prefix, path));
    }
  }
  return { found: [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1)), folders: [...folders], failed };
}

/** Where it would show that the path comes into being: the nearest directory above it that is there. */
export function nearestFolder(prefix: string, path: string): string {
  const parent = parentOf(path);
  const isThere = parent === "/" || lstatSync(prefix + parent, { throwIfNoEntry: false }) !== undefined;
  return isThere ? parent : nearestFolder(prefix, parent);
}

export const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/";
