import { createHash } from "node:crypto";
import type { Sha256 } from "@secai/formats/digest";
import { type FileToHash, hashFiles } from "./hash-files.ts";
import { type TreeEntry, walkTree } from "./tree-walk.ts";

export interface TreeDigest {
  readonly digest: Sha256;
  /** Bytes of content of its regular files; each name of a hard-linked file counts. */
  readonly size: number;
  readonly entries: number;
}

/** Everything about a tree that a step can tell apart, except times: types, names, modes, owners, contents, targets, device numbers. */
export async function treeDigest(top: string): Promise<TreeDigest> {
  const entries = await walkTree(top);
  const contents = await contentDigests(top, entries);
  const digest = createHash("sha256").update("secai-tree-1\n");
  let size = 0;
  for (const entry of entries) {
    // A name cannot hold a NUL byte, so no two trees give the same bytes.
    digest
      .update(`${entry.type} ${ownership(entry)} ${contentOf(entry, contents)} `)
      .update(entry.path)
      .update("\0");
    if (entry.type === "file") size += entry.stats.size;
  }
  return { digest: digest.digest("hex") as Sha256, size, entries: entries.length };
}

function ownership({ stats }: TreeEntry): string {
  return `${(stats.mode & 0o7777).toString(8)} ${stats.uid} ${stats.gid}`;
}

function contentOf(entry: TreeEntry, contents: ReadonlyMap<string, Sha256>): string {
  if (entry.type === "file") return `${entry.stats.size} ${contents.get(inodeOf(entry))}`;
  if (entry.target !== undefined) return entry.target.toString("hex");
  return entry.type === "character" || entry.type === "block" ? String(entry.stats.rdev) : "-";
}

const inodeOf = ({ stats }: TreeEntry): string => `${stats.dev}:${stats.ino}`;

/** Content digests by inode: the names of a hard-linked file are hashed once. */
async function contentDigests(top: string, entries: readonly TreeEntry[]): Promise<Map<string, Sha256>> {
  const files = new Map<string, FileToHash>();
  for (const entry of entries) {
    if (entry.type !== "file") continue;
    files.set(inodeOf(entry), { path: Buffer.concat([Buffer.from(`${top}/`), entry.path]), size: entry.stats.size });
  }
  const digests = await hashFiles([...files.values()]);
  return new Map([...files.keys()].map((inode, index) => [inode, digests[index] as Sha256]));
}
