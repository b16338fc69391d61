import {
  compareText,
  type Lock,
  type LockedNpmPackage,
  type LockedPackage,
  lockedRoot,
  NPM_ARCHIVE,
  type RootName,
  rootNames,
} from "./lock.ts";

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

/** Every root that one of the locks has, and the npm registry's packages. */
function comparedRoots(locks: readonly Lock[]): readonly RootName[] {
  return [...new Set([...locks.flatMap(rootNames), NPM_ARCHIVE])];
}

function entriesOf(lock: Lock, root: RootName): readonly Entry[] {
  if (root === NPM_ARCHIVE) return lock.npm ?? [];
  return root in lock.roots ? lockedRoot(lock, root) : [];
}

/** What one must know before taking `after` for `before`. By root, then by name. */
export function diffLocks(before: Lock, after: Lock): readonly LockChange[] {
  return comparedRoots([before, after]).flatMap((root) => {
    const old = new Map(entriesOf(before, root).map((entry) => [entry.name, entry]));
    const young = new Map(entriesOf(after, root).map((entry) => [entry.name, entry]));
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
