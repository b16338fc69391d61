/** The smallest file that modinfo takes for a kernel module: an ELF header, the section .modinfo, and section names. */
export function elfModule(fields: Readonly<Record<string, string>>): Buffer {
  const modinfo = Buffer.from(
    Object.entries(fields)
      .map(([name, value]) => `${name}=${value}\0`)
      .join(""),
  );
  const names = Buffer.from("\0.modinfo\0.shstrtab\0");
  const headerBytes = 64;
  const namesAt = headerBytes + modinfo.length;
  const sectionsAt = Math.ceil((namesAt + names.length) / 8) * 8;
  const file = Buffer.alloc(sectionsAt + 3 * 64);
  // ELF64, little endian, relocatable, x86-64 (elf(5)).
  file.write("\x7fELF\x02\x01\x01", 0, "latin1");
  file.writeUInt16LE(1, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(sectionsAt), 40);
  file.writeUInt16LE(headerBytes, 52);
  file.writeUInt16LE(64, 58);
  file.writeUInt16LE(3, 60);
  file.writeUInt16LE(2, 62);
  modinfo.copy(file, headerBytes);
  names.copy(file, namesAt);
  const section = (index: number, name: number, type: number, offset: number, size: number) => {
    const at = sectionsAt + index * 64;
    file.writeUInt32LE(name, at);
    file.writeUInt32LE(type, at + 4);
    file.writeBigUInt64LE(type === 1 ? 2n : 0n, at + 8);
    file.writeBigUInt64LE(BigInt(offset), at + 24);
    file.writeBigUInt64LE(BigInt(size), at + 32);
    file.writeBigUInt64LE(1n, at + 48);
  };
  section(1, 1, 1, headerBytes, modinfo.length);
  section(2, 10, 3, namesAt, names.length);
  return file;
}
