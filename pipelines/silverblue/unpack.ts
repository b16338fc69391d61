import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { type LayerBlob, layerArchive } from "./blobs.ts";
import { SilverblueError } from "./errors.ts";
import { IGNORED_XATTRS, type Inode, LayerTree } from "./layer-tree.ts";
import { readTar, type TarEntry } from "./tar-read.ts";
import { END_OF_ARCHIVE, entryHeader, padding } from "./tar-write.ts";

/** @throws SilverblueError TAR_MALFORMED, LAYER_UNSAFE, BASE_DIGEST_MISMATCH */
export async function indexLayers(folder: string, layers: readonly LayerBlob[]): Promise<LayerTree> {
  const tree = new LayerTree();
  for (const [number, blob] of layers.entries()) {
    const entries: TarEntry[] = [];
    await readTar(layerArchive(folder, blob), (entry) => void entries.push(entry));
    tree.apply(entries, number);
  }
  return tree;
}

interface Contents {
  readonly folders: readonly TarEntry[];
  /** Symbolic and hard links: written last, so that nothing is ever written through one. */
  readonly links: readonly TarEntry[];
  /** Files by layer, then by number of the entry. */
  readonly files: ReadonlyMap<number, ReadonlyMap<number, TarEntry>>;
}

function kept({ entry }: Inode, path: string): TarEntry {
  const xattrs = new Map([...entry.xattrs].filter(([name]) => !IGNORED_XATTRS.has(name)));
  return { ...entry, path, xattrs };
}

/** The finished root as entries of one archive, by path. */
function contentsOf(root: Inode): Contents {
  const folders: TarEntry[] = [];
  const links: TarEntry[] = [];
  const files = new Map<number, Map<number, TarEntry>>();
  const names = new Map<Inode, string>();
  const visit = (inode: Inode, path: string): void => {
    const first = names.get(inode);
    const entry = kept(inode, path);
    if (first !== undefined) links.push({ ...entry, type: "link", link: first, size: 0, xattrs: new Map() });
    else if (entry.type === "directory") folders.push(entry);
    else if (entry.type === "symlink") links.push(entry);
    else {
      const ofLayer = files.get(inode.place.layer) ?? new Map<number, TarEntry>();
      files.set(inode.place.layer, ofLayer.set(inode.place.index, entry));
    }
    if (entry.type !== "directory") names.set(inode, path);
    for (const [name, child] of [...inode.children].sort(([a], [b]) => (a < b ? -1 : 1)))
      visit(child, path === "." ? name : `${path}/${name}`);
  };
  visit(root, ".");
  return { folders, links, files };
}

async function write(to: Writable, bytes: Buffer): Promise<void> {
  if (!to.write(bytes)) await once(to, "drain");
}

async function writeArchive(
  to: Writable,
  folder: string,
  layers: readonly LayerBlob[],
  contents: Contents,
  mtime: number,
): Promise<void> {
  for (const entry of contents.folders) await write(to, entryHeader(entry, mtime));
  for (const [number, blob] of layers.entries()) {
    const wanted = contents.files.get(number);
    if (wanted === undefined) continue;
    let index = -1;
    await readTar(layerArchive(folder, blob), async (_, content) => {
      index += 1;
      const entry = wanted.get(index);
      if (entry === undefined) return;
      await write(to, entryHeader(entry, mtime));
      for await (const chunk of content) await write(to, chunk);
      await write(to, padding(entry.size));
    });
  }
  for (const entry of contents.links) await write(to, entryHeader(entry, mtime));
  to.end(END_OF_ARCHIVE);
}

/** GNU tar as the only writer of files: it reads nothing but an archive of ours, in which no path leads through a link. */
const tarArguments = (out: string): readonly string[] => [
  ...[
    "--extract",
    "--file=-",
    "--directory",
    out,
    "--same-owner",
    "--same-permissions",
    "--numeric-owner",
    "--delay-directory-restore",
  ],
  ...["--xattrs", "--xattrs-include=*", "--no-overwrite-dir", "--warning=no-timestamp"],
];

export interface UnpackedFacts {
  readonly folders: number;
  readonly files: number;
  readonly links: number;
  /** Entries whose security.selinux was left to the machine's policy. */
  readonly relabelled: number;
}

/**
 * Unpacks the root that the layers make into `out`, an existing folder. Every layer is checked against its digests before the first file is
 * written. @param mtime of everything, in seconds since 1970
 * @throws SilverblueError TAR_MALFORMED, LAYER_UNSAFE, BASE_DIGEST_MISMATCH, IMAGE_UNPACK_INCOMPLETE
 */
export async function unpackLayers(
  folder: string,
  layers: readonly LayerBlob[],
  out: string,
  mtime: number,
): Promise<UnpackedFacts> {
  const tree = await indexLayers(folder, layers);
  const contents = contentsOf(tree.root);
  const tar = spawn("tar", tarArguments(out), { stdio: ["pipe", "inherit", "pipe"] });
  let said = "";
  tar.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = `${said}${text}`.slice(0, 4000);
  });
  const closed = once(tar, "close");
  tar.stdin.on("error", () => {});
  await Promise.race([
    writeArchive(tar.stdin, folder, layers, contents, mtime),
    closed.then(() => {
      throw new SilverblueError("IMAGE_UNPACK_INCOMPLETE", { expected: "tar to read it all", actual: said });
    }),
  ]);
  const [status] = (await closed) as [number | null];
  // An attribute that cannot be set is only a warning to tar.
  if (status !== 0 || said !== "")
    throw new SilverblueError("IMAGE_UNPACK_INCOMPLETE", { expected: "a silent tar", actual: said });
  return factsOf(tree.root, contents);
}

function factsOf(root: Inode, { folders, links, files }: Contents): UnpackedFacts {
  let relabelled = 0;
  const visit = (inode: Inode): void => {
    if ([...inode.entry.xattrs.keys()].some((name) => IGNORED_XATTRS.has(name))) relabelled += 1;
    for (const child of inode.children.values()) visit(child);
  };
  visit(root);
  return {
    folders: folders.length,
    links: links.length,
    files: [...files.values()].reduce((sum, one) => sum + one.size, 0),
    relabelled,
  };
}
