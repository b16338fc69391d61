import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { SilverblueError } from "./errors.ts";

/** The version of the one kernel of a root: bootc takes no image with two. @throws SilverblueError KERNEL_NOT_SINGLE */
export function kernelOf(root: string): string {
  const folder = join(root, "usr/lib/modules");
  const versions = (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() === true ? readdirSync(folder) : []).filter(
    (version) => lstatSync(join(folder, version, "vmlinuz"), { throwIfNoEntry: false })?.isFile() === true,
  );
  const [only] = versions;
  if (only === undefined || versions.length > 1 || !/^[A-Za-z0-9._+~-]{1,128}$/.test(only))
    throw new SilverblueError("KERNEL_NOT_SINGLE", {
      expected: "one kernel in /usr/lib/modules",
      actual: versions.sort().join(", ") || "none",
    });
  return only;
}
