import { Buffer } from "node:buffer";

export interface MadeElf {
  readonly machine?: number;
  readonly soname?: string;
  readonly needed?: readonly string[];
  readonly runpath?: string;
  /** The older DT_RPATH. */
  readonly rpath?: string;
  readonly defined?: readonly string[];
  readonly undefined?: readonly string[];
  readonly weak?: readonly string[];
}

/** Names behind each other, each with its offset. */
function stringTable(names: readonly string[]): { readonly bytes: Buffer; at(name: string): number } {
  const text = `\0${names.map((name) => `${name}\0`).join("")}`;
  return { bytes: Buffer.from(text, "latin1"), at: (name) => text.indexOf(`\0${name}\0`) + 1 };
}

const words = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => {
    bytes.writeBigUInt64LE(BigInt(value), index * 8);
  });
  return bytes;
};

function symbol(name: number, binding: number, section: number): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(name, 0);
  bytes.writeUInt8(binding << 4, 4);
  bytes.writeUInt16LE(section, 6);
  return bytes;
}

function programHeader(type: number, offset: number, address: number, size: number): Buffer {
  const bytes = Buffer.alloc(56);
  bytes.writeUInt32LE(type, 0);
  words(offset, address, 0, size).copy(bytes, 8);
  return bytes;
}

function sectionHeader(type: number, offset: number, size: number): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(type, 4);
  words(offset, size).copy(bytes, 24);
  return bytes;
}

/** Addresses differ from offsets by this, so that a reader that mixes them up finds nothing. */
const BASE = 0x10000;

/** A shared library of headers, a dynamic segment, a string table and a symbol table, in this order; no code. */
export function makeElf(spec: MadeElf = {}): Buffer {
  const { machine = 62, soname, needed = [], runpath, rpath, defined = [], undefined: wanted = [], weak = [] } = spec;
  const paths = [soname, runpath, rpath].filter((text) => text !== undefined);
  const names = stringTable([...needed, ...paths, ...defined, ...wanted, ...weak]);
  const tagged = (tag: number, text: string | undefined) => (text === undefined ? [] : [words(tag, names.at(text))]);
  const own = [...needed.flatMap((name) => tagged(1, name)), ...tagged(14, soname), ...tagged(29, runpath), ...tagged(15, rpath)];
  const dynamicAt = 64 + 2 * 56;
  const dynamicSize = (own.length + 3) * 16;
  const namesAt = dynamicAt + dynamicSize;
  const dynamic = Buffer.concat([...own, words(5, BASE + namesAt), words(10, names.bytes.length), words(0, 0)]);
  const symbols = Buffer.concat([
    symbol(0, 0, 0),
    ...defined.map((name) => symbol(names.at(name), 1, 1)),
    ...wanted.map((name) => symbol(names.at(name), 1, 0)),
    ...weak.map((name) => symbol(names.at(name), 2, 0)),
  ]);
  const symbolsAt = namesAt + names.bytes.length;
  const sectionsAt = symbolsAt + symbols.length;
  const header = Buffer.alloc(64);
  Buffer.from("\x7fELF\x02\x01\x01", "latin1").copy(header);
  header.writeUInt16LE(3, 16);
  header.writeUInt16LE(machine, 18);
  words(64, sectionsAt).copy(header, 32);
  for (const [at, value] of [
    [54, 56],
    [56, 2],
    [58, 64],
    [60, 2],
  ] as const)
    header.writeUInt16LE(value, at);
  return Buffer.concat([
    header,
    programHeader(1, 0, BASE, sectionsAt),
    programHeader(2, dynamicAt, BASE + dynamicAt, dynamicSize),
    dynamic,
    names.bytes,
    symbols,
    sectionHeader(0, 0, 0),
    sectionHeader(11, symbolsAt, symbols.length),
  ]);
}
