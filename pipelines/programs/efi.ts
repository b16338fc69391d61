import { closeSync, openSync, readSync } from "node:fs";

/** Architectures by the machine of a PE header (PE/COFF, "Machine Types"), as UEFI writes them in file names (UEFI 2.10, 3.5.1.1). */
const MACHINES: ReadonlyMap<number, string> = new Map([
  [0x8664, "x64"],
  [0xaa64, "aa64"],
]);

const PE_OFFSET_AT = 0x3c;
const HEADER_BYTES = 4096;

/**
 * "x64" or "aa64" for an EFI program, which a kernel with an EFI stub is too.
 * @throws Error when it is none, or of an architecture that no image is built for
 */
export function efiArchitecture(path: string): string {
  const header = Buffer.alloc(HEADER_BYTES);
  const descriptor = openSync(path, "r");
  try {
    readSync(descriptor, header, 0, HEADER_BYTES, 0);
  } finally {
    closeSync(descriptor);
  }
  const offset = header.readUInt32LE(PE_OFFSET_AT);
  const isPe = header.toString("latin1", 0, 2) === "MZ" && offset <= HEADER_BYTES - 6 && header.readUInt32LE(offset) === 0x4550;
  const name = isPe ? MACHINES.get(header.readUInt16LE(offset + 4)) : undefined;
  if (name === undefined) throw new Error(`${path} is no EFI program for x64 or aa64`);
  return name;
}

/** Where firmware looks for the boot loader when it remembers none (UEFI 2.10, 3.5.1.1). */
export const removableMediaPath = (architecture: string): string => `EFI/BOOT/BOOT${architecture.toUpperCase()}.EFI`;
