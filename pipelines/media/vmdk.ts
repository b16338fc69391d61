import { type FileHandle, open } from "node:fs/promises";

// "Virtual Disk Format 5.0", SparseExtentHeader: little endian, 512-byte sectors.
const SECTOR = 512;
const MAGIC = 0x564d444b;
const CAPACITY_AT = 12;
const DESCRIPTOR_OFFSET_AT = 28;
const DESCRIPTOR_SIZE_AT = 36;
const MAX_DESCRIPTOR_SECTORS = 128;

/**
 * Makes the content id of a VMDK's embedded descriptor `id` instead of the random one that QEMU wrote. The descriptor keeps its sectors, filled
 * up with zeros. Returns the disk's size in bytes.
 * @throws Error when the file is no sparse VMDK with one content id
 */
export async function setContentId(path: string, id: string): Promise<number> {
  if (!/^[0-9a-f]{8}$/.test(id) || id >= "fffffffe") throw new Error(`${id} is no content id`);
  const file = await open(path, "r+");
  try {
    const header = await bytesAt(file, 0, SECTOR);
    const offset = header.readUInt32LE(DESCRIPTOR_OFFSET_AT) * SECTOR;
    const sectors = header.readUInt32LE(DESCRIPTOR_SIZE_AT);
    if (header.readUInt32LE(0) !== MAGIC || sectors === 0 || sectors > MAX_DESCRIPTOR_SECTORS)
      throw new Error(`${path} is no VMDK with a descriptor`);
    const text = untilZero(await bytesAt(file, offset, sectors * SECTOR));
    if (text.match(/^CID=[0-9a-f]+$/gm)?.length !== 1) throw new Error(`${path} has not one content id`);
    const fixed = Buffer.alloc(sectors * SECTOR);
    fixed.write(text.replace(/^CID=[0-9a-f]+$/m, `CID=${id}`), "latin1");
    await file.write(fixed, 0, fixed.length, offset);
    return Number(header.readBigUInt64LE(CAPACITY_AT)) * SECTOR;
  } finally {
    await file.close();
  }
}

/** QEMU writes a second, perhaps shorter, content id over the first: what lies behind the text's end is left over from the longer one. */
function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}

async function bytesAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position);
  if (bytesRead !== length) throw new Error(`${length} bytes at ${position} wanted, ${bytesRead} there`);
  return buffer;
}
