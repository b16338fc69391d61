import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { dirname, isAbsolute, join, relative } from "node:path";
import type { Change } from "@secai/verify/self-test/corpus";

// What differs between two states of a folder, as the corpus records it.

type Node =
  | { readonly kind: "file"; readonly content: Buffer; readonly inode: number }
  | { readonly kind: "directory" }
  | { readonly kind: "fifo" }
  | { readonly kind: "symlink"; readonly to: string };
export type Snapshot = ReadonlyMap<string, Node>;

/** Contents larger than this are only ever zeros: a corpus does not carry megabytes. */
const MAX_CONTENT_BYTES = 256 << 10;

/** Everything below `folder`, parents before what they hold, sorted; symbolic links are not followed. */
export function takeSnapshot(folder: string): Snapshot {
  const below = (prefix: string): readonly (readonly [string, Node])[] =>
    readdirSync(join(folder, prefix))
      .sort()
      .flatMap((name) => {
        const node = nodeOf(join(folder, prefix, name));
        return [[`${prefix}${name}`, node] as const, ...(node.kind === "directory" ? below(`${prefix}${name}/`) : [])];
      });
  return new Map(below(""));
}

function nodeOf(path: string): Node {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return { kind: "symlink", to: targetOf(path) };
  if (stat.isDirectory()) return { kind: "directory" };
  if (stat.isFIFO()) return { kind: "fifo" };
  return { kind: "file", content: readFileSync(path), inode: stat.ino };
}

/** Relative to the link, so that it leads to the same place wherever the folder is. */
function targetOf(link: string): string {
  const target = readlinkSync(link);
  return isAbsolute(target) ? relative(dirname(link), target) : target;
}

const sameNode = (a: Node, b: Node | undefined): boolean => {
  if (a.kind === "file") return b?.kind === "file" && a.content.equals(b.content);
  return a.kind === b?.kind && (a.kind !== "symlink" || (b.kind === "symlink" && a.to === b.to));
};

/** @throws Error for contents that no corpus should hold */
export function changesBetween(before: Snapshot, after: Snapshot, blobOf: (content: Buffer) => number): readonly Change[] {
  const gone = [...before].filter(([path, node]) => {
    const now = after.get(path);
    return now === undefined || now.kind !== node.kind || isNewLink(after, path);
  });
  const removed = gone.map(([path]) => path).filter((path, _, all) => !all.some((other) => path.startsWith(`${other}/`)));
  const made = [...after].filter(([path, node]) => !sameNode(node, before.get(path)) || isNewLink(after, path));
  return [
    ...removed.map((path): Change => ({ kind: "remove", path })),
    ...made.flatMap(([path, node]) => changeFor(path, node, after, blobOf)),
  ];
}

/** The first name of a file with several, in the order of names; undefined for the first itself. */
function firstName(after: Snapshot, path: string): string | undefined {
  const node = after.get(path);
  if (node?.kind !== "file") return undefined;
  const names = [...after].filter(([, other]) => other.kind === "file" && other.inode === node.inode).map(([name]) => name);
  return names[0] === path ? undefined : names[0];
}
const isNewLink = (after: Snapshot, path: string) => firstName(after, path) !== undefined;

function changeFor(path: string, node: Node, after: Snapshot, blobOf: (content: Buffer) => number): readonly Change[] {
  switch (node.kind) {
    case "directory":
    case "fifo":
      return [{ kind: node.kind, path }];
    case "symlink":
      return [{ kind: "symlink", path, to: node.to }];
    case "file": {
      const first = firstName(after, path);
      if (first !== undefined) return [{ kind: "hardlink", path, to: first }];
      if (node.content.length <= MAX_CONTENT_BYTES) return [{ kind: "write", path, blob: blobOf(node.content) }];
      if (node.content.some((byte) => byte !== 0)) throw new Error(`${path}: ${node.content.length} bytes of content`);
      return [{ kind: "zeros", path, size: node.content.length }];
    }
  }
}
