import { lstatSync, readdirSync, readlinkSync, type Stats } from "node:fs";

/** One entry of a tree. Paths are bytes: Linux names need not be UTF-8. */
export interface TreeEntry {
  /** Relative to the tree's top, "." for the top itself. */
  readonly path: Buffer;
  readonly type: "file" | "directory" | "link" | "character" | "block" | "fifo" | "socket";
  readonly stats: Stats;
  /** Only of links. */
  readonly target?: Buffer;
}

const SLASH = Buffer.from("/");

/** How many entries are read between two turns of the event loop: keeps a progress display alive while a large tree is read. */
const ENTRIES_PER_TURN = 1000;

/** Every entry of the tree, sorted by the bytes of its path within each directory, parents first. Does not follow links. */
export async function walkTree(top: string): Promise<TreeEntry[]> {
  const topPath = Buffer.from(top);
  const entries: TreeEntry[] = [];
  const pending: Buffer[] = [Buffer.from(".")];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const full = Buffer.concat([topPath, SLASH, path]);
    const entry = readEntry(full, path);
    entries.push(entry);
    if (entry.type === "directory") pending.push(...childrenOf(full, path).reverse());
    if (entries.length % ENTRIES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return entries;
}

function childrenOf(full: Buffer, path: Buffer): Buffer[] {
  const names = readdirSync(full, { encoding: "buffer" }).sort(Buffer.compare);
  return path.equals(Buffer.from(".")) ? names : names.map((name) => Buffer.concat([path, SLASH, name]));
}

function readEntry(full: Buffer, path: Buffer): TreeEntry {
  const stats = lstatSync(full);
  const type = typeOf(stats);
  return type === "link" ? { path, type, stats, target: readlinkSync(full, { encoding: "buffer" }) } : { path, type, stats };
}

function typeOf(stats: Stats): TreeEntry["type"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "link";
  if (stats.isCharacterDevice()) return "character";
  if (stats.isBlockDevice()) return "block";
  return stats.isFIFO() ? "fifo" : "socket";
}
