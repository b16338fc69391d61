import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** Paths below a folder; links are not followed (a recursive readdir would). */
function everythingBelow(folder: string, prefix: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => [
    `${prefix}${entry.name}`,
    ...(entry.isDirectory() ? everythingBelow(join(folder, entry.name), `${prefix}${entry.name}/`) : []),
  ]);
}

/**
 * newc archive of a folder (Documentation/driver-api/early-userspace/buffer-format.rst): sorted, one time, owner 0, counted inodes.
 * @param time seconds since 1970
 */
export function cpio(folder: string, time: number): Buffer {
  const parts: Buffer[] = [];
  const entry = (name: string, mode: number, data: Buffer, inode: number) => {
    const path = Buffer.from(`${name}\0`);
    const fields = [inode, mode, 0, 0, 1, time, data.length, 0, 0, 0, 0, path.length, 0];
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
    parts.push(header, path, Buffer.alloc(-(header.length + path.length) & 3), data, Buffer.alloc(-data.length & 3));
  };
  const names = everythingBelow(folder, "").sort();
  for (const [index, name] of names.entries()) {
    const path = join(folder, name);
    const stat = lstatSync(path);
    const data = stat.isSymbolicLink() ? Buffer.from(readlinkSync(path)) : stat.isFile() ? readFileSync(path) : Buffer.alloc(0);
    entry(name, stat.isSymbolicLink() ? 0o120777 : stat.mode, data, index + 1);
  }
  entry("TRAILER!!!", 0, Buffer.alloc(0), 0);
  return Buffer.concat(parts);
}
