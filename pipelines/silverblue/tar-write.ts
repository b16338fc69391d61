import { BLOCK } from "./tar-header.ts";
import type { EntryType, TarEntry } from "./tar-read.ts";

/** Entry types as ustar has them. */
const letters: Readonly<Record<EntryType, string>> = { file: "0", link: "1", symlink: "2", directory: "5" };

const OCTAL_7 = 0o7777777;
const OCTAL_11 = 0o77777777777;

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, "0")}\0`;
}

function headerBlock(name: string, type: string, fields: Omit<TarEntry, "path" | "type" | "xattrs">, mtime: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100, "latin1");
  block.write(octal(fields.mode, 7), 100, "latin1");
  block.write(octal(Math.min(fields.uid, OCTAL_7), 7), 108, "latin1");
  block.write(octal(Math.min(fields.gid, OCTAL_7), 7), 116, "latin1");
  block.write(octal(Math.min(fields.size, OCTAL_11), 11), 124, "latin1");
  block.write(octal(mtime, 11), 136, "latin1");
  block.write("        ", 148, "latin1");
  block.write(type, 156, "latin1");
  block.write(fields.link, 157, 100, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  block.write(octal(0, 7), 329, "latin1");
  block.write(octal(0, 7), 337, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** The length counts its own digits. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

const fits = (text: string): boolean => /^[ -~]{0,100}$/.test(text);

function paxRecords({ path, link, uid, gid, size, xattrs }: TarEntry): Buffer {
  const text = (key: string, value: string) => (fits(value) ? [] : [paxRecord(key, Buffer.from(value))]);
  const number = (key: string, value: number, most: number) =>
    value <= most ? [] : [paxRecord(key, Buffer.from(String(value)))];
  return Buffer.concat([
    ...number("gid", gid, OCTAL_7),
    ...text("linkpath", link),
    ...text("path", path),
    ...number("size", size, OCTAL_11),
    ...number("uid", uid, OCTAL_7),
    ...[...xattrs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => paxRecord(`SCHILY.xattr.${name}`, value)),
  ]);
}

export const padding = (size: number): Buffer => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
export const END_OF_ARCHIVE: Buffer = Buffer.alloc(2 * BLOCK);

/** What stands before an entry's content: the same entry and time give the same bytes. `mtime` in seconds since 1970. */
export function entryHeader(entry: TarEntry, mtime: number): Buffer {
  const { mode, uid, gid, size, link } = entry;
  const pax = paxRecords(entry);
  const own = { mode, uid, gid, size, link: fits(link) ? link : "" };
  const block = headerBlock(fits(entry.path) ? entry.path : "long-name", letters[entry.type], own, mtime);
  if (pax.length === 0) return block;
  const head = headerBlock("pax-header", "x", { mode: 0o644, uid: 0, gid: 0, size: pax.length, link: "" }, mtime);
  return Buffer.concat([head, pax, padding(pax.length), block]);
}
