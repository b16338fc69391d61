import { closeSync, fstatSync, lstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join, relative } from "node:path";
import { sha256File } from "../../attest/formats/digest.ts";
import { type TreeEntry, walkTree } from "../../pipelines/engine/tree-walk.ts";

const CHUNK_BYTES = 1 << 20;

/** Where two files differ first, in words, or undefined when they are equal byte for byte. */
export function firstDifference(a: string, b: string): string | undefined {
  const files = [openSync(a, "r"), openSync(b, "r")] as const;
  try {
    return differenceOf(files[0], files[1]);
  } finally {
    for (const file of files) closeSync(file);
  }
}

function differenceOf(a: number, b: number): string | undefined {
  const [left, right] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)];
  const sizes = `${fstatSync(a).size} and ${fstatSync(b).size} bytes`;
  for (let offset = 0; ; offset += CHUNK_BYTES) {
    const read = [readSync(a, left, 0, CHUNK_BYTES, offset), readSync(b, right, 0, CHUNK_BYTES, offset)] as const;
    const common = Math.min(...read);
    if (!left.subarray(0, common).equals(right.subarray(0, common))) {
      const index = left.subarray(0, common).findIndex((byte, at) => byte !== right[at]);
      return `first difference at offset ${offset + index} (${left[index]} and ${right[index]}); ${sizes}`;
    }
    if (read[0] !== read[1]) return `one is the beginning of the other; ${sizes}`;
    if (common < CHUNK_BYTES) return undefined;
  }
}

/** Files below a folder, relative to it, sorted. */
export function filesBelow(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .sort();
}

/** The first entry in which two trees differ: names, types, modes, owners, targets, contents; not times. */
export async function firstTreeDifference(a: string, b: string): Promise<string | undefined> {
  const [left, right] = [await entriesOf(a), await entriesOf(b)];
  for (const path of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const [one, other] = [left.get(path), right.get(path)];
    if (one === undefined || other === undefined) return `/${path} is only in the ${one === undefined ? "second" : "first"}`;
    if (describe(one) !== describe(other))
      return `/${path} is ${describe(one)} in the first and ${describe(other)} in the second`;
    if (one.type !== "file") continue;
    if ((await sha256File(join(a, path))) !== (await sha256File(join(b, path)))) {
      return `/${path}: ${firstDifference(join(a, path), join(b, path))}`;
    }
  }
  return undefined;
}

const entriesOf = async (dir: string): Promise<ReadonlyMap<string, TreeEntry>> =>
  new Map((await walkTree(dir)).map((entry) => [entry.path.toString("latin1"), entry]));

function describe({ type, stats, target }: TreeEntry): string {
  const size = type === "file" ? ` of ${stats.size} bytes` : "";
  const to = target === undefined ? "" : ` to ${target.toString()}`;
  return `a ${type}${size}${to}, mode ${(stats.mode & 0o7777).toString(8)}, owner ${stats.uid}:${stats.gid}, device ${stats.rdev}`;
}

/** First difference of two outputs of steps, files or trees. */
export async function outputDifference(a: string, b: string): Promise<string | undefined> {
  return lstatSync(a).isDirectory() ? await firstTreeDifference(a, b) : firstDifference(a, b);
}
