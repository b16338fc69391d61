import { SilverblueError } from "./errors.ts";
import type { EntryType, TarEntry } from "./tar-read.ts";

// How layers make one root: github.com/opencontainers/image-spec, v1.1, layer.md ("Applying Changesets", "Whiteouts").

/** Where the content of a file lies. */
export interface ContentPlace {
  readonly layer: number;
  /** Number of the entry in its layer, from 0. */
  readonly index: number;
}

/** One inode of the root; a hard link is the same object under another name. */
export interface Inode {
  readonly entry: Omit<TarEntry, "path"> & { readonly type: Exclude<EntryType, "link"> };
  readonly place: ContentPlace;
  /** Folders only. */
  readonly children: Map<string, Inode>;
}

const MAX_PATH_BYTES = 4096;
const MAX_NAME_BYTES = 255;
/** Five times what a desktop image has. */
export const MAX_ENTRIES = 4_000_000;
const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** Ids that a build in a user namespace can give a file. */
const MAX_ID = 65_535;

const unsafe = (expected: string, actual: string): SilverblueError =>
  new SilverblueError("LAYER_UNSAFE", { expected, actual: JSON.stringify(actual.slice(0, 300)) });

/** "./usr/bin/" -> ["usr", "bin"]. @throws SilverblueError LAYER_UNSAFE for a path that is absolute, leads upwards or cannot exist */
export function pathParts(path: string): readonly string[] {
  const relative = path === "." || path === "./" ? "" : path.replace(/^\.\//, "").replace(/\/$/, "");
  if (relative === "") {
    if (path === "." || path === "./") return [];
    throw unsafe("a path below the root", path);
  }
  const parts = relative.split("/");
  const wrong = parts.some((part) => part === "" || part === "." || part === ".." || Buffer.byteLength(part) > MAX_NAME_BYTES);
  if (wrong || /\p{Cc}/u.test(relative) || Buffer.byteLength(relative) > MAX_PATH_BYTES)
    throw unsafe("a path below the root", path);
  return parts;
}

function folder(entry?: TarEntry, place: ContentPlace = { layer: -1, index: -1 }): Inode {
  const base = { type: "directory", mode: 0o755, uid: 0, gid: 0, size: 0, link: "", xattrs: new Map() } as const;
  const { mode, uid, gid, xattrs } = entry ?? base;
  return { entry: { ...base, mode, uid, gid, xattrs }, place, children: new Map() };
}

/** The root that layers make, one laid over the other. Nothing is written: this only decides. */
export class LayerTree {
  #root: Inode = folder();
  #entries = 0;

  get root(): Inode {
    return this.#root;
  }

  /** Lays one layer over what is there; its whiteouts hide only what lower layers brought. @throws SilverblueError LAYER_UNSAFE */
  apply(entries: readonly TarEntry[], layer: number): void {
    this.#entries += entries.length;
    if (this.#entries > MAX_ENTRIES) throw unsafe(`at most ${MAX_ENTRIES} entries`, `${this.#entries}`);
    const own = entries.map((entry, index) => ({ entry, index, parts: pathParts(entry.path) }));
    for (const { entry, parts } of own) if (isWhiteout(parts)) this.#hide(parts, entry);
    const seen = new Set<string>();
    for (const { entry, index, parts } of own) {
      if (isWhiteout(parts)) continue;
      const path = parts.join("/");
      if (entry.type !== "directory" && seen.has(path)) throw unsafe("each path once in a layer", path);
      seen.add(path);
      this.#place(parts, entry, { layer, index });
    }
  }

  #hide(parts: readonly string[], entry: TarEntry): void {
    const name = parts.at(-1) ?? "";
    const hidden = name.slice(WHITEOUT.length);
    const opaque = name === OPAQUE;
    if (!opaque && (hidden === "" || hidden === "." || hidden === ".." || hidden.startsWith(WHITEOUT)))
      throw unsafe("a whiteout that names a file beside it", entry.path);
    if (entry.type !== "file" || entry.size !== 0) throw unsafe("a whiteout that is an empty file", entry.path);
    const parent = this.#find(parts.slice(0, -1));
    if (parent === undefined) return;
    if (opaque) parent.children.clear();
    else parent.children.delete(hidden);
  }

  /** An existing folder, or undefined. @throws SilverblueError LAYER_UNSAFE when the way leads through something else */
  #find(parts: readonly string[]): Inode | undefined {
    let current = this.#root;
    for (const part of parts) {
      const next = current.children.get(part);
      if (next === undefined) return undefined;
      if (next.entry.type !== "directory")
        throw unsafe(`a folder at ${part}`, `${parts.join("/")} leads through a ${next.entry.type}`);
      current = next;
    }
    return current;
  }

  #parentOf(parts: readonly string[]): Inode {
    let current = this.#root;
    for (const part of parts.slice(0, -1)) {
      const next = current.children.get(part) ?? folder();
      if (next.entry.type !== "directory")
        throw unsafe("folders on the way", `${parts.join("/")} leads through a ${next.entry.type}`);
      current.children.set(part, next);
      current = next;
    }
    return current;
  }

  #place(parts: readonly string[], entry: TarEntry, place: ContentPlace): void {
    if (entry.uid > MAX_ID || entry.gid > MAX_ID)
      throw unsafe(`owners up to ${MAX_ID}`, `${entry.path} of ${entry.uid}:${entry.gid}`);
    checkXattrs(entry);
    const { path: _, ...rest } = entry;
    const name = parts.at(-1);
    if (name === undefined) {
      if (entry.type !== "directory") throw unsafe("a folder as the root", entry.type);
      this.#root = { ...folder(entry, place), children: this.#root.children };
      return;
    }
    const parent = this.#parentOf(parts);
    if (entry.type === "directory") {
      const existing = parent.children.get(name);
      const children = existing?.entry.type === "directory" ? existing.children : new Map<string, Inode>();
      parent.children.set(name, { ...folder(entry, place), children });
    } else if (entry.type === "link") parent.children.set(name, this.#linked(entry));
    else parent.children.set(name, { entry: { ...rest, type: entry.type }, place, children: new Map() });
  }

  /** The inode that a hard link names: it must exist by then, and be no folder. */
  #linked(entry: TarEntry): Inode {
    const parts = pathParts(entry.link);
    const target = this.#find(parts.slice(0, -1))?.children.get(parts.at(-1) ?? "");
    if (target === undefined || target.entry.type === "directory")
      throw unsafe("a hard link to a file that is there", `${entry.path} to ${entry.link}`);
    return target;
  }
}

const isWhiteout = (parts: readonly string[]): boolean => parts.at(-1)?.startsWith(WHITEOUT) === true;

/** "security.selinux" is left to the machine: ostree labels files by the policy of the image when it deploys them. */
export const IGNORED_XATTRS: ReadonlySet<string> = new Set(["security.selinux"]);
const KEPT_XATTR = /^(user\.[!-~]{1,250}|security\.capability)$/;

function checkXattrs({ path, xattrs }: TarEntry): void {
  const wrong = [...xattrs.keys()].find((name) => !KEPT_XATTR.test(name) && !IGNORED_XATTRS.has(name));
  if (wrong !== undefined) throw unsafe("capabilities and user attributes only", `${wrong} of ${path}`);
}
