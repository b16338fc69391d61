import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * Folders of libraries that trees bring beyond the system that runs them, for LD_LIBRARY_PATH. A tree with a C library of its own is a
 * whole system: its libraries belong to its loader, and under another they would end every process.
 */
export function libraryFolders(trees: readonly string[]): readonly string[] {
  return trees.flatMap((tree) => {
    const lib = join(tree, "usr/lib");
    const names = existsSync(lib) ? readdirSync(lib).filter((name) => name.endsWith("-linux-gnu")) : [];
    return names.map((name) => join(lib, name)).filter((folder) => !existsSync(join(folder, "libc.so.6")));
  });
}
