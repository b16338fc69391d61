import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { lstatSync } from "node:fs";
import type { Writable } from "node:stream";
import { sha256File } from "@secai/formats/digest";
import type { LayerDiff } from "./layer-diff.ts";
import type { TarEntry } from "./tar-read.ts";
import { END_OF_ARCHIVE, entryHeader, padding } from "./tar-write.ts";
import { readTree } from "./tree-archive.ts";

export interface WrittenLayer {
  readonly digest: string;
  readonly diffId: string;
  readonly size: number;
  readonly entries: number;
  readonly whiteouts: number;
}

const nothing = { size: 0, link: "", uid: 0, gid: 0, xattrs: new Map<string, Buffer>() } as const;

/**
 * Writes the layer that a difference describes: entries of `tree` in order of names, each folder's whiteouts behind it, one time for all,
 * compressed with zstd. Same tree and difference, same bytes.
 * @param mtime seconds since 1970
 */
export async function writeLayer(tree: string, diff: LayerDiff, path: string, mtime: number): Promise<WrittenLayer> {
  const zstd = spawn("zstd", ["-q", "-9", "-T2", "-f", "-o", path], { stdio: ["pipe", "inherit", "inherit"] });
  const closed = once(zstd, "close");
  const inside = createHash("sha256");
  const counts = { entries: 0, whiteouts: 0 };
  const put = async (bytes: Buffer): Promise<void> => {
    inside.update(bytes);
    await write(zstd.stdin, bytes);
  };
  await readTree(tree, async (entry, content) => {
    if (diff.changed.has(entry.path)) {
      counts.entries += 1;
      await put(entryHeader(entry, mtime));
      for await (const chunk of content) await put(chunk);
      await put(padding(entry.size));
    }
    for (const name of entry.type === "directory" ? (diff.whiteouts.get(entry.path) ?? []) : []) {
      counts.whiteouts += 1;
      await put(entryHeader(whiteout(entry.path, name), mtime));
    }
  });
  await put(END_OF_ARCHIVE);
  zstd.stdin.end();
  const [status] = (await closed) as [number | null];
  if (status !== 0) throw new Error(`zstd ended with ${status}`);
  return {
    digest: `sha256:${await sha256File(path)}`,
    diffId: `sha256:${inside.digest("hex")}`,
    size: lstatSync(path).size,
    ...counts,
  };
}

/** Image-spec v1.1, layer.md, "Whiteouts". */
function whiteout(folder: string, name: string): TarEntry {
  return { ...nothing, path: `${folder === "" ? "" : `${folder}/`}.wh.${name}`, type: "file", mode: 0o644 };
}

async function write(to: Writable, bytes: Buffer): Promise<void> {
  if (bytes.length > 0 && !to.write(bytes)) await once(to, "drain");
}
