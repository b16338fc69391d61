import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
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

/** @returns the SHA-256 of every file, by path */
async function writeArchive(
  to: Writable,
  folder: string,
  layers: readonly LayerBlob[],
  contents: Contents,
  mtime: number,
): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
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
      const hash = createHash("sha256");
      for await (const chunk of content) {
        hash.update(chunk);
        await write(to, chunk);
      }
      digests.set(entry.path, hash.digest("hex"));
      await write(to, padding(entry.size));
    });
  }
  for (const entry of contents.links) await write(to, entryHeader(entry, mtime));
  to.end(END_OF_ARCHIVE);
  return digests;
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
  /** Every path that is no folder: the SHA-256 of its content, or "link:" and where it leads. */
  readonly contents: Readonly<Record<string, string>>;
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
  const digests = await Promise.race([
    writeArchive(tar.stdin, folder, layers, contents, mtime),
    closed.then((): never => {
      throw new SilverblueError("IMAGE_UNPACK_INCOMPLETE", { expected: "tar to read it all", actual: said });
    }),
  ]);
  const [status] = (await closed) as [number | null];
  // An attribute that cannot be set is only a warning to tar.
  if (status !== 0 || said !== "")
    throw new SilverblueError("IMAGE_UNPACK_INCOMPLETE", { expected: "a silent tar", actual: said });
  return factsOf(tree.root, contents, digests);
}

function factsOf(root: Inode, { folders, links, files }: Contents, digests: ReadonlyMap<string, string>): UnpackedFacts {
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
    contents: {
      ...Object.fromEntries(digests),
      ...Object.fromEntries(
        links.map(({ path, type, link }) => [path, type === "link" ? (digests.get(link) ?? "") : `link:${link}`]),
      ),
    },
  };
}
