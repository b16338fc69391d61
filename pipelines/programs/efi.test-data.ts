/** The beginning of an EFI program: DOS header, PE signature, machine (PE/COFF, section 3). */
export function peProgram(machine: number, content = ""): Buffer {
  const header = Buffer.alloc(128);
  header.write("MZ");
  header.writeUInt32LE(64, 0x3c);
  header.write("PE\0\0", 64);
  header.writeUInt16LE(machine, 68);
  return Buffer.concat([header, Buffer.from(content)]);
}

export const X64 = 0x8664;
export const AA64 = 0xaa64;
