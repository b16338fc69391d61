import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ExtensionError, named } from "./errors.ts";

/** One entry of a tree; `path` is relative to its top, without a leading slash. */
export interface Entry {
  readonly path: string;
  readonly stat: Stats;
}

/** Everything below `top`, sorted by path; a folder stands before what it holds. */
export function entriesOf(top: string, below = ""): readonly Entry[] {
  return readdirSync(join(top, below))
    .sort()
    .flatMap((name) => {
      const path = join(below, name);
      const stat = lstatSync(join(top, path));
      return [{ path, stat }, ...(stat.isDirectory() ? entriesOf(top, path) : [])];
    });
}

/** Undefined when there is nothing, also when that is because a file stands where the path needs a folder. */
function statAt(top: string, path: string): Stats | undefined {
  try {
    return lstatSync(join(top, path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** @throws ExtensionError EXTENSION_OUTSIDE_USR */
export function requireBelowUsr(entries: readonly Entry[]): void {
  const outside = entries.filter(({ path, stat }) => path !== "usr" && !path.startsWith("usr/") && !stat.isDirectory());
  if (outside.length === 0) return;
  throw new ExtensionError("EXTENSION_OUTSIDE_USR", {
    expected: "files below /usr",
    actual: named(outside.map(({ path }) => `/${path}`)),
  });
}

/**
 * Folders in which a file changes how the system runs without being called: systemd's and udev's, settings, kernel modules, and ours. What
 * an extension may add are libraries, programs and data.
 */
const FORBIDDEN =
  /^usr\/(lib\/(systemd|udev|modules|modules-load\.d|modprobe\.d|sysctl\.d|tmpfiles\.d|sysusers\.d|binfmt\.d|environment\.d|repart\.d|kernel|dracut|secure-ai)|libexec\/secure-ai)(\/|$)/;
const BACKEND = /^usr\/lib\/secure-ai(\/backends(\/[a-z0-9-]+(\/[A-Za-z0-9_][A-Za-z0-9._+-]*)?)?)?$/;

/** @throws ExtensionError EXTENSION_FORBIDDEN */
export function requirePermitted(entries: readonly Entry[], backends: ReadonlySet<string>): void {
  const ours = (path: string) =>
    BACKEND.test(path) && (path.split("/")[4] ?? "") !== "" && backends.has(path.split("/")[4] ?? "");
  const found = entries.filter(({ path, stat }) => {
    if (stat.isDirectory()) return false;
    const privileged = stat.isFile() && (stat.mode & 0o6000) !== 0;
    return privileged || !(stat.isFile() || stat.isSymbolicLink()) || (FORBIDDEN.test(path) && !ours(path));
  });
  if (found.length === 0) return;
  throw new ExtensionError("EXTENSION_FORBIDDEN", {
    expected: "libraries, programs and data",
    actual: named(found.map(({ path }) => `/${path}`)),
  });
}

const sameOwner = (a: Stats, b: Stats) => (a.mode & 0o7777) === (b.mode & 0o7777) && a.uid === b.uid && a.gid === b.gid;

/** Whether laying `path` of one tree over another changes nothing there but adds. */
function agrees(extension: string, other: string, { path, stat }: Entry): boolean {
  const there = statAt(other, path);
  if (there === undefined) return true;
  if (stat.isDirectory()) return there.isDirectory() && sameOwner(stat, there);
  const [a, b] = [join(extension, path), join(other, path)];
  if (stat.isSymbolicLink()) return there.isSymbolicLink() && readlinkSync(a) === readlinkSync(b);
  return there.isFile() && sameOwner(stat, there) && stat.size === there.size && readFileSync(a).equals(readFileSync(b));
}

/**
 * An extension only adds: whatever it shares with the image is the same there, and it shares no file with the overlays at all.
 * @throws ExtensionError EXTENSION_OVERLAPS
 */
export function requireOnlyAdds(
  entries: readonly Entry[],
  trees: { readonly extension: string; readonly root: string; readonly overlays: readonly string[] },
): void {
  const covers = entries.filter((entry) => {
    const inOverlay = !entry.stat.isDirectory() && trees.overlays.some((overlay) => statAt(overlay, entry.path) !== undefined);
    return inOverlay || !agrees(trees.extension, trees.root, entry);
  });
  if (covers.length === 0) return;
  throw new ExtensionError("EXTENSION_OVERLAPS", {
    expected: "files that the image does not have, or has with the same bytes and owner",
    actual: named(covers.map(({ path }) => `/${path}`)),
  });
}

/** Follows a path through the links of several trees seen as one; undefined when it leads to nothing. */
export function resolveIn(trees: readonly string[], path: string, hops = 40): string | undefined {
  let at = "";
  const parts = normalize(path)
    .split("/")
    .filter((part) => part !== "" && part !== ".");
  for (const [index, part] of parts.entries()) {
    const next = join(at, part);
    const holder = trees.find((tree) => statAt(tree, next) !== undefined);
    if (holder === undefined || hops === 0) return undefined;
    if (statAt(holder, next)?.isSymbolicLink() === true) {
      const target = readlinkSync(join(holder, next));
      const whole = join(target.startsWith("/") ? target : join("/", dirname(next), target), ...parts.slice(index + 1));
      return resolveIn(trees, whole, hops - 1);
    }
    at = next;
  }
  return at;
}

/** @throws ExtensionError EXTENSION_LINK_DANGLING */
export function requireLinksLead(entries: readonly Entry[], extension: string, root: string): void {
  const dangling = entries.filter(({ path, stat }) => stat.isSymbolicLink() && resolveIn([extension, root], path) === undefined);
  if (dangling.length === 0) return;
  throw new ExtensionError("EXTENSION_LINK_DANGLING", {
    expected: "links that lead to a file",
    actual: named(dangling.map(({ path }) => `/${path} -> ${readlinkSync(join(extension, path))}`)),
  });
}

/** The folders that hold most, with their sizes in MiB: what to look at when a tree is too large. */
export function largestFolders(entries: readonly Entry[], count = 6): readonly string[] {
  const sums = new Map<string, number>();
  for (const { path, stat } of entries) {
    if (!stat.isFile()) continue;
    const folder = dirname(path);
    sums.set(folder, (sums.get(folder) ?? 0) + stat.size);
  }
  const sorted = [...sums].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, count);
  return sorted.map(([folder, bytes]) => `/${folder} ${(bytes / 2 ** 20).toFixed(1)} MiB`);
}
