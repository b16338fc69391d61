import { lstatSync } from "node:fs";
import type { Metadata } from "./baseline.ts";
import { type Identity, identityOf, isSameInode } from "./hash-file.ts";
import { type Found, list } from "./listing.ts";
import type { Look } from "./look.ts";
import { type Violation, violation } from "./violation.ts";

interface Seen extends Metadata {
  readonly identity: Identity;
}

/** Names, modes, inodes and sizes of what lies in folders whose content is nobody's business. */
export async function takeMetadata(prefix: string, folders: readonly string[]): Promise<readonly Metadata[]> {
  const { found } = await listBelow(prefix, folders);
  return seenAt(prefix, found).map(({ identity: _identity, ...metadata }) => metadata);
}

function seenAt(prefix: string, found: readonly Found[]): readonly Seen[] {
  return found.flatMap(({ path }) => {
    const stat = lstatSync(prefix + path, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return [];
    const { mode, ino, size, uid, gid } = stat;
    const owner = { uid: Number(uid), gid: Number(gid) };
    return [{ path, mode: mode.toString(8), inode: ino.toString(), size: Number(size), ...owner, identity: identityOf(stat) }];
  });
}

/** Remembers when each was last written to, so that writing and putting back leaves a trace. */
export function createMetadataLook(prefix: string): (folders: readonly string[], expected: readonly Metadata[]) => Promise<Look> {
  let times = new Map<string, Identity>();
  return async (folders, expected) => {
    const listing = await listBelow(prefix, folders);
    const actual = new Map(seenAt(prefix, listing.found).map((one) => [one.path, one]));
    const known = new Set(expected.map(({ path }) => path));
    const now = new Map([...actual].map(([path, { identity }]) => [path, identity]));
    const violations = [
      ...expected.flatMap((one) => compare(one, actual.get(one.path))),
      ...[...actual].flatMap(([path, one]) =>
        known.has(path) ? [] : [violation("state_file", path, "unexpected", "no such file", text(one))],
      ),
      ...listing.failed.map(({ path, detail }) =>
        violation("state_file", path, "unreadable", "a directory that can be listed", detail),
      ),
    ];
    const wrong = new Set(violations.map(({ path }) => path));
    const noticed = [...now].flatMap(([path, identity]) => {
      const before = times.get(path);
      const same = before === undefined || wrong.has(path) || isSameInode(before, identity);
      return same ? [] : [violation("state_file", path, "rewritten", "nobody writes to it", "written to")];
    });
    times = now;
    return { violations, noticed, folders: listing.folders };
  };
}

const listBelow = (prefix: string, folders: readonly string[]) =>
  list(
    prefix,
    folders.map((path) => ({ path, tree: true })),
  );

const text = ({ mode, inode, size, uid, gid }: Metadata): string =>
  `mode ${mode}, inode ${inode}, ${size} bytes, owner ${uid}:${gid}`;

function compare(expected: Metadata, actual: Metadata | undefined): Violation[] {
  if (actual === undefined) return [violation("state_file", expected.path, "missing", text(expected), "not there")];
  return text(expected) === text(actual) ? [] : [violation("state_file", expected.path, "changed", text(expected), text(actual))];
}
