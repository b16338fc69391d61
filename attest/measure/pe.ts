import { ByteReader } from "./byte-reader.ts";

/** Largest EFI program looked at, in bytes: a UKI is a tenth of this. */
export const MAX_PE_BYTES = 512 * 1024 * 1024;
/** The PE specification's own limit for section headers in an image. */
const MAX_SECTIONS = 96;
/** Bytes a section may have in memory beyond those in the file: a header must not make us hash gigabytes of zeros. */
const MAX_ZERO_FILL_BYTES = 64 * 1024;
const PE32_PLUS = 0x20b;
const SECTION_HEADER_BYTES = 40;
/** Data directory 4 holds the certificate table: a file offset, unlike the other directories. */
const CERTIFICATE_DIRECTORY = 4;

export interface PeSection {
  /** ASCII, without the padding NULs. */
  readonly name: string;
  /** Bytes the section has once loaded: what systemd-stub measures. */
  readonly virtualSize: number;
  readonly rawOffset: number;
  readonly rawSize: number;
}

/** The parts of a PE32+ file that decide what is measured. All offsets are file offsets in bytes. */
export interface PeFile {
  readonly bytes: Uint8Array;
  readonly checksumOffset: number;
  readonly certificateEntryOffset: number;
  /** Where the measured content ends: the start of the certificate table, or the end of an unsigned file. */
  readonly contentEnd: number;
  readonly signed: boolean;
  readonly sections: readonly PeSection[];
}

interface OptionalHeader {
  readonly checksumOffset: number;
  readonly certificateEntryOffset: number;
  readonly sizeOfHeaders: number;
  readonly certificateOffset: number;
  readonly certificateSize: number;
}

function readOptionalHeader(reader: ByteReader, size: number): OptionalHeader {
  const start = reader.offset;
  if (reader.u16le() !== PE32_PLUS) reader.fail("a PE32+ optional header", "another magic");
  reader.seek(start + 60);
  const sizeOfHeaders = reader.u32le();
  const checksumOffset = reader.offset;
  reader.seek(start + 108);
  const directories = reader.u32le();
  if (directories <= CERTIFICATE_DIRECTORY || directories > 16) reader.fail("5 to 16 data directories", `${directories}`);
  if (size !== 112 + directories * 8) reader.fail(`an optional header of ${112 + directories * 8} bytes`, `${size}`);
  const certificateEntryOffset = start + 112 + CERTIFICATE_DIRECTORY * 8;
  reader.seek(certificateEntryOffset);
  const certificateOffset = reader.u32le();
  const certificateSize = reader.u32le();
  reader.seek(start + size);
  return { checksumOffset, certificateEntryOffset, sizeOfHeaders, certificateOffset, certificateSize };
}

function readSection(reader: ByteReader): PeSection {
  const header = reader.bytes(SECTION_HEADER_BYTES);
  const padded = Buffer.from(header.subarray(0, 8)).toString("latin1");
  const name = padded.replace(/\0+$/, "");
  if (!/^[\x21-\x7e]{1,8}$/.test(name)) reader.fail("a printable section name", "other bytes");
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  return {
    name,
    virtualSize: view.getUint32(8, true),
    rawSize: view.getUint32(16, true),
    rawOffset: view.getUint32(20, true),
  };
}

/**
 * Firmware hashes headers, then sections in file order, then what follows the last one. Only when those touch without gap or overlap is
 * every byte measured exactly once; anything else is refused, so that this file and the firmware cannot disagree about it.
 */
function requireContiguous(reader: ByteReader, sections: readonly PeSection[], headersEnd: number, contentEnd: number): void {
  let end = headersEnd;
  for (const section of sections.filter(({ rawSize }) => rawSize > 0).sort((a, b) => a.rawOffset - b.rawOffset)) {
    if (section.rawOffset !== end) reader.fail(`section ${section.name} at file offset ${end}`, `${section.rawOffset}`);
    end += section.rawSize;
  }
  if (end > contentEnd) reader.fail(`sections that end by ${contentEnd}`, `${end}`);
}

function contentEndOf(reader: ByteReader, header: OptionalHeader, length: number): number {
  if (header.certificateOffset === 0 && header.certificateSize === 0) return length;
  const { certificateOffset: offset, certificateSize: size } = header;
  if (offset % 8 !== 0 || size < 8 || offset + size !== length) {
    reader.fail("a certificate table that is the aligned end of the file", `${size} bytes at ${offset} of ${length}`);
  }
  return offset;
}

/**
 * Parses the headers of an EFI program (Microsoft PE Format; UEFI 2.10 §2.1.1).
 * @throws MeasureError PE_MALFORMED
 */
export function parsePe(bytes: Uint8Array): PeFile {
  const reader = new ByteReader(bytes, "PE_MALFORMED");
  if (bytes.length > MAX_PE_BYTES) reader.fail(`at most ${MAX_PE_BYTES} bytes`, `${bytes.length}`);
  if (reader.u16le() !== 0x5a4d) reader.fail("an MZ header", "another magic");
  reader.seek(0x3c);
  reader.seek(reader.u32le());
  if (reader.u32le() !== 0x4550) reader.fail("a PE signature", "other bytes");
  const fileHeader = reader.offset;
  reader.seek(fileHeader + 2);
  const sectionCount = reader.u16le();
  if (sectionCount === 0 || sectionCount > MAX_SECTIONS) reader.fail(`1 to ${MAX_SECTIONS} sections`, `${sectionCount}`);
  reader.seek(fileHeader + 16);
  const optionalSize = reader.u16le();
  reader.seek(fileHeader + 20);
  const header = readOptionalHeader(reader, optionalSize);
  const sections = Array.from({ length: sectionCount }, () => readSection(reader));
  if (header.sizeOfHeaders < reader.offset) reader.fail("headers that hold the section table", `${header.sizeOfHeaders} bytes`);
  const contentEnd = contentEndOf(reader, header, bytes.length);
  requireContiguous(reader, sections, header.sizeOfHeaders, contentEnd);
  return {
    bytes,
    checksumOffset: header.checksumOffset,
    certificateEntryOffset: header.certificateEntryOffset,
    contentEnd,
    signed: contentEnd !== bytes.length,
    sections,
  };
}

/** A section as it lies in memory: `virtualSize` bytes, zero-filled past the raw data. Call only with a section of `file`. */
export function sectionContent(file: PeFile, section: PeSection): Uint8Array {
  const raw = file.bytes.subarray(section.rawOffset, section.rawOffset + Math.min(section.rawSize, section.virtualSize));
  if (raw.length === section.virtualSize) return raw;
  const reader = new ByteReader(file.bytes, "PE_MALFORMED");
  const missing = section.virtualSize - raw.length;
  if (missing > MAX_ZERO_FILL_BYTES) reader.fail(`at most ${MAX_ZERO_FILL_BYTES} bytes that are not in the file`, `${missing}`);
  const padded = new Uint8Array(section.virtualSize);
  padded.set(raw);
  return padded;
}
