import type { Metadata } from "./baseline.ts";
import { type Identity, identityOf, isSameInode } from "./hash-file.ts";
import { list } from "./listing.ts";
import type { Look } from "./look.ts";
import { type Violation, violation } from "./violation.ts";

/** Names, modes, inodes and sizes of what lies in folders whose content is nobody's business. */
export async function takeMetadata(prefix: string, folders: readonly string[]): Promise<readonly Metadata[]> {
  const { found } = await listBelow(prefix, folders);
  return found.map(({ path, stat }) => ({
    path,
    mode: stat.mode.toString(8),
    inode: stat.ino.toString(),
    size: Number(stat.size),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
  }));
}

/** Remembers when each was last written to, so that writing and putting back leaves a trace. */
export function createMetadataLook(prefix: string): (folders: readonly string[], expected: readonly Metadata[]) => Promise<Look> {
  let times = new Map<string, Identity>();
  return async (folders, expected) => {
    const listing = await listBelow(prefix, folders);
    const actual = new Map((await takeMetadata(prefix, folders)).map((one) => [one.path, one]));
    const now = new Map(listing.found.map(({ path, stat }) => [path, identityOf(stat)]));
    const violations = [
      ...expected.flatMap((one) => compare(one, actual.get(one.path))),
      ...[...actual].flatMap(([path, one]) =>
        expected.some((other) => other.path === path)
          ? []
          : [violation("state_file", path, "unexpected", "no such file", text(one))],
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
