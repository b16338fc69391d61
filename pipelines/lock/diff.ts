import type { Sha256 } from "@secai/formats/digest";
import type { BootcLock } from "./bootc-lock.ts";
import { compareText, type Lock, type LockedNpmPackage, type LockedPackage, NPM_ARCHIVE, type RootName } from "./lock.ts";

export type LockChange =
  | { readonly kind: "added"; readonly root: RootName; readonly name: string; readonly to: string }
  | { readonly kind: "removed"; readonly root: RootName; readonly name: string; readonly from: string }
  | { readonly kind: "changed"; readonly root: RootName; readonly name: string; readonly from: string; readonly to: string };

type Entry = Pick<LockedPackage | LockedNpmPackage, "name" | "version" | "sha256">;

/** The version, and the start of the digest where the version alone does not tell two files apart. */
function label(entry: Entry, other: Entry): string {
  return entry.version === other.version ? `${entry.version} (sha256 ${entry.sha256.slice(0, 12)})` : entry.version;
}

function changed(root: RootName, before: Entry, after: Entry): LockChange[] {
  if (before.version === after.version && before.sha256 === after.sha256) return [];
  return [{ kind: "changed", root, name: after.name, from: label(before, after), to: label(after, before) }];
}

type Entries = Readonly<Record<RootName, readonly Entry[]>>;

/** What a lock holds, by root; the npm registry's packages are one more. */
function debianEntries(lock: Lock): Entries {
  return { ...lock.roots, [NPM_ARCHIVE]: lock.npm ?? [] };
}

/** Images count as packages whose version is what was resolved. */
function bootcEntries({ roots, images, rpms }: BootcLock): Entries {
  const image = ({ name, repository, tag, digest }: BootcLock["images"][number]): Entry => ({
    name,
    version: `${repository}${tag === null ? "" : `:${tag}`}@${digest}`,
    sha256: digest.replace(/^sha256:/, "") as Sha256,
  });
  const rpm = ({ name, epoch, version, release, sha256 }: BootcLock["rpms"][number]): Entry => {
    return { name, version: `${epoch === 0 ? "" : `${epoch}:`}${version}-${release}`, sha256 };
  };
  return { images: images.map(image), rpms: rpms.map(rpm), ...roots };
}

/** What one must know before taking `after` for `before`. By root, then by name. */
export function diffLocks(before: Lock, after: Lock): readonly LockChange[] {
  return diffEntries(debianEntries(before), debianEntries(after));
}

/** The same of any two locks, also when one is a Debian recipe's and the other is not. */
export function lockChanges(before: Lock | BootcLock, after: Lock | BootcLock): readonly LockChange[] {
  const entries = (lock: Lock | BootcLock): Entries => ("kind" in lock ? bootcEntries(lock) : debianEntries(lock));
  return diffEntries(entries(before), entries(after));
}

function diffEntries(before: Entries, after: Entries): readonly LockChange[] {
  const roots = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...roots].flatMap((root) => {
    const old = new Map((before[root] ?? []).map((entry) => [entry.name, entry]));
    const young = new Map((after[root] ?? []).map((entry) => [entry.name, entry]));
    return [...new Set([...old.keys(), ...young.keys()])].sort(compareText).flatMap((name): LockChange[] => {
      const from = old.get(name);
      const to = young.get(name);
      if (from === undefined) return to === undefined ? [] : [{ kind: "added", root, name, to: to.version }];
      return to === undefined ? [{ kind: "removed", root, name, from: from.version }] : changed(root, from, to);
    });
  });
}

function line(change: LockChange): string {
  switch (change.kind) {
    case "added":
      return `  + ${change.name} ${change.to}`;
    case "removed":
      return `  - ${change.name} ${change.from}`;
    case "changed":
      return `  ~ ${change.name} ${change.from} -> ${change.to}`;
  }
}

/** For people: a heading a root, a line a package. */
export function formatChanges(changes: readonly LockChange[]): string {
  if (changes.length === 0) return "no package changed\n";
  return [...new Set(changes.map(({ root }) => root))]
    .flatMap((root) => {
      const own = changes.filter((change) => change.root === root);
      return [`${root}: ${own.length} packages`, ...own.map(line)];
    })
    .join("\n")
    .concat("\n");
}
