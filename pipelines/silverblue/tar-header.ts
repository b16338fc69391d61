import { SilverblueError } from "./errors.ts";

// pax(1) in POSIX.1-2017, "ustar Interchange Format" and "pax Header Block"; GNU's long names as in tar.h of GNU tar.

export const BLOCK = 512;

export const refuseTar = (expected: string, actual: string): SilverblueError =>
  new SilverblueError("TAR_MALFORMED", { expected, actual: actual.slice(0, 200) });

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** @throws SilverblueError TAR_MALFORMED for bytes that are no UTF-8: ostree could not store such a name */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw refuseTar("names in UTF-8", Buffer.from(bytes).toString("latin1"));
  }
}

/** A field up to its first NUL. */
function textField(block: Buffer, start: number, length: number): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return decodeText(end < 0 ? field : field.subarray(0, end));
}

/** Octal digits, or GNU's big-endian binary when the first bit is set. @throws SilverblueError TAR_MALFORMED */
function numberField(block: Buffer, start: number, length: number): number {
  const field = block.subarray(start, start + length);
  if (((field[0] ?? 0) & 0x80) !== 0) return binaryNumber(field);
  const digits = field.toString("latin1").replace(/^ +|[ \0]+$/g, "");
  if (!/^[0-7]*$/.test(digits)) throw refuseTar("octal digits", JSON.stringify(digits));
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

function binaryNumber(field: Buffer): number {
  const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
  if (!Number.isSafeInteger(value)) throw refuseTar("a number below 2^53", field.toString("hex"));
  return value;
}

export interface RawHeader {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  /** One character; NUL stands for "0". */
  readonly type: string;
  readonly link: string;
}

/** @throws SilverblueError TAR_MALFORMED */
export function parseHeader(block: Buffer): RawHeader {
  const sum = block.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
  const stated = numberField(block, 148, 8);
  if (sum !== stated) throw refuseTar(`header checksum ${stated}`, String(sum));
  const posix = block.subarray(257, 263).toString("latin1") === "ustar\0";
  const prefix = posix ? textField(block, 345, 155) : "";
  const name = textField(block, 0, 100);
  const type = String.fromCharCode(block[156] ?? 0);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: numberField(block, 100, 8),
    uid: numberField(block, 108, 8),
    gid: numberField(block, 116, 8),
    size: numberField(block, 124, 12),
    mtime: numberField(block, 136, 12),
    type: type === "\0" ? "0" : type,
    link: textField(block, 157, 100),
  };
}

/** "LENGTH KEY=VALUE\n" records; values stay bytes, because those of extended attributes are. @throws SilverblueError TAR_MALFORMED */
export function parsePax(bytes: Buffer): ReadonlyMap<string, Buffer> {
  const records = new Map<string, Buffer>();
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(32, at);
    const digits = bytes.subarray(at, Math.max(at, space)).toString("latin1");
    const length = /^[1-9]\d{0,7}$/.test(digits) ? Number(digits) : 0;
    const record = bytes.subarray(space + 1, at + length);
    const equals = record.indexOf(61);
    if (length <= digits.length + 3 || at + length > bytes.length || record.at(-1) !== 10 || equals < 1)
      throw refuseTar("a pax record", JSON.stringify(bytes.subarray(at, at + 40).toString("latin1")));
    const key = decodeText(record.subarray(0, equals));
    if (records.has(key)) throw refuseTar("each pax keyword once", key);
    records.set(key, Buffer.from(record.subarray(equals + 1, -1)));
    at += length;
  }
  return records;
}
