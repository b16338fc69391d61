import { type FileHandle, open } from "node:fs/promises";
import { VmError } from "./errors.ts";

export interface Partition {
  /** Number as in the name of its device node, from 1. */
  readonly number: number;
  readonly label: string;
  readonly typeGuid: string;
  readonly guid: string;
  /** Bytes from the start of the disk. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

const SECTOR = 512;

/** Partitions of a raw disk image (UEFI specification, section 5.3). @throws VmError HARNESS_PROTOCOL when it has no GPT */
export async function readPartitions(path: string): Promise<Partition[]> {
  const file = await open(path, "r");
  try {
    const header = await readAt(file, SECTOR, SECTOR);
    return parsePartitions(header, await readAt(file, tableOffset(header), tableBytes(header)));
  } finally {
    await file.close();
  }
}

/** @throws VmError HARNESS_PROTOCOL */
export function parsePartitions(header: Buffer, table: Buffer): Partition[] {
  checkHeader(header);
  const entryBytes = header.readUInt32LE(84);
  const partitions: Partition[] = [];
  for (let at = 0, number = 1; at + entryBytes <= table.length; at += entryBytes, number += 1) {
    const entry = table.subarray(at, at + entryBytes);
    if (!entry.subarray(0, 16).some((byte) => byte !== 0)) continue;
    const first = Number(entry.readBigUInt64LE(32));
    const last = Number(entry.readBigUInt64LE(40));
    partitions.push({
      number,
      label: entry.toString("utf16le", 56, 128).replace(/\0.*$/s, ""),
      typeGuid: guidText(entry.subarray(0, 16)),
      guid: guidText(entry.subarray(16, 32)),
      offset: first * SECTOR,
      size: (last - first + 1) * SECTOR,
    });
  }
  return partitions;
}

/** @throws VmError HARNESS_PROTOCOL when there is no such partition */
export function partitionOf(partitions: readonly Partition[], test: (partition: Partition) => boolean, what: string): Partition {
  const found = partitions.find(test);
  if (found === undefined) {
    throw new VmError("HARNESS_PROTOCOL", {
      expected: `a partition: ${what}`,
      actual: partitions.map(({ label }) => label).join(" "),
    });
  }
  return found;
}

function checkHeader(header: Buffer): void {
  if (header.length < 92 || header.toString("latin1", 0, 8) !== "EFI PART") {
    throw new VmError("HARNESS_PROTOCOL", { expected: "a GPT header", actual: "other bytes" });
  }
}

function tableOffset(header: Buffer): number {
  checkHeader(header);
  return Number(header.readBigUInt64LE(72)) * SECTOR;
}

function tableBytes(header: Buffer): number {
  const bytes = header.readUInt32LE(80) * header.readUInt32LE(84);
  if (bytes > 1 << 20) throw new VmError("HARNESS_PROTOCOL", { expected: "a partition table", actual: `${bytes} bytes` });
  return bytes;
}

/** First three fields are little-endian (UEFI specification, appendix A). */
function guidText(bytes: Buffer): string {
  const hex = Buffer.concat([
    Buffer.from(bytes.subarray(0, 4)).reverse(),
    Buffer.from(bytes.subarray(4, 6)).reverse(),
    Buffer.from(bytes.subarray(6, 8)).reverse(),
    bytes.subarray(8),
  ]).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  if (bytesRead !== length)
    throw new VmError("HARNESS_PROTOCOL", { expected: `${length} bytes at ${position}`, actual: `${bytesRead}` });
  return buffer;
}
