import { BackendError } from "./errors.ts";

/** What the dynamic loader reads of a shared library (System V gABI, chapters 4 and 5), as far as a build needs it. */
export interface ElfLibrary {
  /** e_machine: 62 is x86-64, 183 is AArch64. */
  readonly machine: number;
  readonly soname: string | undefined;
  /** DT_NEEDED in order. */
  readonly needed: readonly string[];
  /** Folders of DT_RUNPATH (or the older DT_RPATH), `$ORIGIN` not replaced; empty entries left out. */
  readonly runpath: readonly string[];
  /** Dynamic symbols that it has for others. */
  readonly defined: ReadonlySet<string>;
  /** Dynamic symbols that it must find elsewhere; weak ones, which may stay without a value, left out. */
  readonly undefined: ReadonlySet<string>;
}

const malformed = (actual: string): BackendError => new BackendError("ELF_MALFORMED", { expected: "an ELF64 library", actual });

/** Bounds-checked view: every offset comes from the file. */
class View {
  readonly #bytes: Buffer;
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  part(offset: number, size: number): View {
    if (offset + size > this.#bytes.length) throw malformed(`a table at ${offset}, beyond ${this.#bytes.length} bytes`);
    return new View(this.#bytes.subarray(offset, offset + size));
  }

  get size(): number {
    return this.#bytes.length;
  }

  u8(offset: number): number {
    return this.part(offset, 1).#bytes.readUInt8();
  }

  u16(offset: number): number {
    return this.part(offset, 2).#bytes.readUInt16LE();
  }

  u32(offset: number): number {
    return this.part(offset, 4).#bytes.readUInt32LE();
  }

  /** A file offset, address, size or index; those beyond 2^53 lie outside any file. */
  u64(offset: number): number {
    const value = this.part(offset, 8).#bytes.readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed("a number beyond 2^53");
    return Number(value);
  }

  /** The tag of a dynamic entry; those of processors and systems use the whole word. */
  tag(offset: number): bigint {
    return this.part(offset, 8).#bytes.readBigInt64LE();
  }

  /** A string that ends with a zero byte. */
  text(offset: number): string {
    const end = offset < this.size ? this.#bytes.indexOf(0, offset) : -1;
    if (end < 0) throw malformed("a string without an end");
    return this.#bytes.toString("latin1", offset, end);
  }
}

const [ET_DYN, PT_LOAD, PT_DYNAMIC, SHT_DYNSYM] = [3, 1, 2, 11];
const [DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_SONAME, DT_RPATH, DT_RUNPATH] = [0n, 1n, 5n, 10n, 14n, 15n, 29n];
const [HEADER, PROGRAM_HEADER, SECTION_HEADER, SYMBOL] = [64, 56, 64, 24];

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/** Entries of a table whose place, entry size and count stand in the file's header. */
function tableAt(file: View, place: number, entrySize: number, count: number, size: number): View[] {
  if (count > 0 && entrySize !== size) throw malformed(`table entries of ${entrySize} bytes`);
  const table = file.part(place, count * size);
  return Array.from({ length: count }, (_, index) => table.part(index * size, size));
}

const segments = (file: View): readonly Segment[] =>
  tableAt(file, file.u64(32), file.u16(54), file.u16(56), PROGRAM_HEADER).map((entry) => ({
    type: entry.u32(0),
    offset: entry.u64(8),
    address: entry.u64(16),
    size: entry.u64(32),
  }));

interface Dynamic {
  readonly tag: bigint;
  readonly value: number;
}

function dynamicEntries(file: View, all: readonly Segment[]): readonly Dynamic[] {
  const segment = all.find(({ type }) => type === PT_DYNAMIC);
  if (segment === undefined) throw malformed("no dynamic segment");
  const table = file.part(segment.offset, segment.size);
  const entries: Dynamic[] = [];
  for (let at = 0; at + 16 <= table.size; at += 16) {
    const tag = table.tag(at);
    if (tag === DT_NULL) return entries;
    entries.push({ tag, value: table.u64(at + 8) });
  }
  throw malformed("a dynamic segment without an end");
}

/** Where in the file an address of the loaded library lies. */
function fileOffset(all: readonly Segment[], address: number): number {
  const segment = all.find((one) => one.type === PT_LOAD && address >= one.address && address < one.address + one.size);
  if (segment === undefined) throw malformed("an address that no segment holds");
  return segment.offset + (address - segment.address);
}

function strings(file: View, all: readonly Segment[], dynamic: readonly Dynamic[]): View {
  const place = dynamic.find(({ tag }) => tag === DT_STRTAB)?.value;
  const size = dynamic.find(({ tag }) => tag === DT_STRSZ)?.value;
  if (place === undefined || size === undefined) throw malformed("no string table");
  return file.part(fileOffset(all, place), size);
}

/** The loader finds symbols through hash tables; the section has them as a plain list, and `strip` never takes it away. */
function symbols(file: View, names: View): { defined: Set<string>; undefined: Set<string> } {
  const found = { defined: new Set<string>(), undefined: new Set<string>() };
  const sections = tableAt(file, file.u64(40), file.u16(58), file.u16(60), SECTION_HEADER);
  const section = sections.find((entry) => entry.u32(4) === SHT_DYNSYM);
  if (section === undefined) return found;
  const [place, size] = [section.u64(24), section.u64(32)];
  if (size % SYMBOL !== 0) throw malformed("a symbol table of broken entries");
  const table = file.part(place, size);
  // The first entry is the null symbol.
  for (let at = SYMBOL; at < size; at += SYMBOL) {
    const name = names.text(table.u32(at));
    const weak = table.u8(at + 4) >> 4 === 2;
    if (table.u16(at + 6) !== 0) found.defined.add(name);
    else if (!weak) found.undefined.add(name);
  }
  return found;
}

const isElf64 = (file: View): boolean =>
  file.size >= HEADER && file.u32(0) === 0x464c457f && file.u8(4) === 2 && file.u8(5) === 1 && file.u8(6) === 1;

/** Whether a file begins as an ELF file does. */
export const looksLikeElf = (bytes: Uint8Array): boolean => bytes.length >= 4 && new View(bytes).u32(0) === 0x464c457f;

/** @throws BackendError ELF_MALFORMED for anything but a 64-bit little-endian shared library whose tables lie inside it */
export function parseElf(bytes: Uint8Array): ElfLibrary {
  const file = new View(bytes);
  if (!isElf64(file)) throw malformed(`${bytes.length} bytes of another kind`);
  if (file.u16(16) !== ET_DYN) throw malformed(`e_type ${file.u16(16)}`);
  const all = segments(file);
  const dynamic = dynamicEntries(file, all);
  const names = strings(file, all, dynamic);
  const texts = (wanted: bigint) => dynamic.filter(({ tag }) => tag === wanted).map(({ value }) => names.text(value));
  const runpath = texts(DT_RUNPATH);
  return {
    machine: file.u16(18),
    soname: texts(DT_SONAME)[0],
    needed: texts(DT_NEEDED),
    // ld.so(8): DT_RPATH counts only where there is no DT_RUNPATH.
    runpath: (runpath.length > 0 ? runpath : texts(DT_RPATH)).flatMap((list) => list.split(":")).filter((path) => path !== ""),
    ...symbols(file, names),
  };
}
