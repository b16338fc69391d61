import { BLOCK, decodeText, parseHeader, parsePax, type RawHeader, refuseTar } from "./tar-header.ts";

export type EntryType = "file" | "link" | "symlink" | "directory";

/** What a layer says of one path. Names stand as they were written; layer-tree.ts judges them. */
export interface TarEntry {
  readonly path: string;
  readonly type: EntryType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 unless a file. */
  readonly size: number;
  /** Target of a link or symlink; empty otherwise. */
  readonly link: string;
  /** Extended attributes by full name, e.g. "security.capability". */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** Longest header of an entry: paths and attributes. A kernel takes 64 KiB of attributes a file. */
const MAX_EXTENDED = 1 << 20;
const XATTR = "SCHILY.xattr.";
/** Keywords that change nothing of what is unpacked. */
const IGNORED = new Set(["mtime", "atime", "ctime", "uname", "gname", "comment", "LIBARCHIVE.creationtime"]);
const KNOWN = new Set(["path", "linkpath", "size", "uid", "gid"]);
const types: Readonly<Record<string, EntryType>> = { "0": "file", "1": "link", "2": "symlink", "5": "directory" };

/** Bytes of a stream, as many as asked for. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** Up to `most` bytes as they come; empty at the end. */
  async some(most: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return this.#rest;
      this.#rest = next.value;
    }
    const part = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  /** @throws SilverblueError TAR_MALFORMED when the stream ends before */
  async exactly(count: number): Promise<Buffer> {
    if (this.#rest.length >= count) return this.some(count);
    const parts: Buffer[] = [];
    for (let left = count; left > 0; ) {
      const part = await this.some(left);
      if (part.length === 0) throw refuseTar(`${left} more bytes`, "the end of the archive");
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }
}

/** Called with each entry; `content` must be read to its end or not at all. */
export type OnEntry = (entry: TarEntry, content: AsyncIterable<Buffer>) => Promise<void> | void;

interface Extensions {
  pax: ReadonlyMap<string, Buffer>;
  longName?: string;
  longLink?: string;
}

/**
 * Reads one archive strictly: every byte of it has a meaning, or it is refused.
 * @throws SilverblueError TAR_MALFORMED
 */
export async function readTar(source: AsyncIterable<Buffer>, onEntry: OnEntry): Promise<void> {
  const bytes = new ByteReader(source);
  let extensions: Extensions = { pax: new Map() };
  for (;;) {
    const block = await bytes.exactly(BLOCK);
    if (isZero(block)) return requireEnd(bytes);
    const header = parseHeader(block);
    if (header.type === "x") extensions = { ...extensions, pax: parsePax(await extended(bytes, header)) };
    else if (header.type === "L") extensions = { ...extensions, longName: gnuName(await extended(bytes, header)) };
    else if (header.type === "K") extensions = { ...extensions, longLink: gnuName(await extended(bytes, header)) };
    else {
      const entry = entryOf(header, extensions);
      extensions = { pax: new Map() };
      await passOn(bytes, entry, onEntry);
    }
  }
}

const isZero = (block: Buffer): boolean => block.every((byte) => byte === 0);

/** A second block of zeros, and nothing but zeros after it. */
async function requireEnd(bytes: ByteReader): Promise<void> {
  if (!isZero(await bytes.exactly(BLOCK))) throw refuseTar("two blocks of zeros at the end", "one");
  for (let part = await bytes.some(1 << 16); part.length > 0; part = await bytes.some(1 << 16))
    if (!isZero(part)) throw refuseTar("nothing after the end of the archive", "more data");
}

async function extended(bytes: ByteReader, { size, type }: RawHeader): Promise<Buffer> {
  if (size === 0 || size > MAX_EXTENDED)
    throw refuseTar(`an extended header of at most ${MAX_EXTENDED} bytes`, `${type} ${size}`);
  const padded = await bytes.exactly(Math.ceil(size / BLOCK) * BLOCK);
  return padded.subarray(0, size);
}

/** GNU writes the name with one NUL after it. */
function gnuName(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  if (end !== bytes.length - 1) throw refuseTar("a long name that ends with its only NUL", bytes.toString("latin1"));
  return decodeText(bytes.subarray(0, end));
}

function decimal(pax: ReadonlyMap<string, Buffer>, key: string, fallback: number): number {
  const bytes = pax.get(key);
  if (bytes === undefined) return fallback;
  const value = /^\d{1,16}$/.test(bytes.toString("latin1")) ? Number(bytes.toString("latin1")) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw refuseTar(`a decimal number for ${key}`, bytes.toString("latin1"));
  return value;
}

function entryOf(header: RawHeader, { pax, longName, longLink }: Extensions): TarEntry {
  const type = types[header.type];
  if (type === undefined) throw refuseTar("a file, folder or link", `type ${JSON.stringify(header.type)} at ${header.name}`);
  const unknown = [...pax.keys()].find((key) => !KNOWN.has(key) && !IGNORED.has(key) && !key.startsWith(XATTR));
  if (unknown !== undefined) throw refuseTar("known pax keywords", unknown);
  const text = (key: string) => (pax.has(key) ? decodeText(pax.get(key) ?? Buffer.alloc(0)) : undefined);
  const size = decimal(pax, "size", header.size);
  if (type !== "file" && size !== 0) throw refuseTar("content in files only", `${header.name} with ${size} bytes`);
  return {
    path: text("path") ?? longName ?? header.name,
    type,
    mode: header.mode & 0o7777,
    uid: decimal(pax, "uid", header.uid),
    gid: decimal(pax, "gid", header.gid),
    size,
    link: type === "link" || type === "symlink" ? (text("linkpath") ?? longLink ?? header.link) : "",
    xattrs: new Map([...pax].flatMap(([key, value]) => (key.startsWith(XATTR) ? [[key.slice(XATTR.length), value]] : []))),
  };
}

/** Whatever the callback leaves of the content is skipped. */
async function passOn(bytes: ByteReader, entry: TarEntry, onEntry: OnEntry): Promise<void> {
  let left = entry.size;
  async function* content(): AsyncGenerator<Buffer> {
    while (left > 0) {
      const part = await bytes.some(left);
      if (part.length === 0) throw refuseTar(`${left} more bytes of ${entry.path}`, "the end of the archive");
      left -= part.length;
      yield part;
    }
  }
  await onEntry(entry, content());
  for await (const _ of content());
  const padding = (BLOCK - (entry.size % BLOCK)) % BLOCK;
  if (padding > 0) await bytes.exactly(padding);
}
