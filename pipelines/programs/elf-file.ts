import { readFileSync, type Stats } from "node:fs";

/** Bytes of the header of an ELF file of 64 bits. */
const HEADER_BYTES = 64;

/** Whether a file says in its first bytes that it is a program or a library. `stat`: of `path` itself, not of what it links to. */
export const isElfFile = (path: string, stat: Stats): boolean =>
  stat.isFile() && stat.size > HEADER_BYTES && readFileSync(path).subarray(0, 4).equals(Buffer.from("\x7fELF", "latin1"));
