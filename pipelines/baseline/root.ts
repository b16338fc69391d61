import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { BaselineEntry } from "@secai/formats/baseline";
import { sha256 } from "@secai/formats/digest";
import { BaselineError } from "./errors.ts";

/** Where a unit, a policy or a bundle lies, by its path in the image: its content. */
export type ReadFile = (path: string) => string;

function readEntry(root: string, path: string): BaselineEntry {
  const full = join(root, path);
  const { mode: bits, uid, gid, ...stat } = lstatSync(full);
  const common = { path, mode: (bits & 0o7777).toString(8).padStart(4, "0"), uid, gid };
  switch (bits & 0o170000) {
    case 0o040000:
      return { ...common, type: "directory" };
    case 0o120000:
      return { ...common, type: "symlink", target: readlinkSync(full) };
    case 0o100000: {
      const bytes = readFileSync(full);
      return { ...common, type: "file", sha256: sha256(bytes), size: bytes.length };
    }
    default:
      throw new BaselineError("BASELINE_ROOT_UNFIT", {
        expected: "files, links and directories",
        actual: `${path}, of ${stat.size} bytes and mode ${bits.toString(8)}`,
      });
  }
}

/**
 * Everything in the tree below `root`, which is "/" itself. Follows no link, so that nothing outside the root is read.
 * @throws BaselineError BASELINE_ROOT_UNFIT
 */
export function readEntries(root: string): readonly BaselineEntry[] {
  const entries: BaselineEntry[] = [];
  const pending = ["/"];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const entry = readEntry(root, path);
    entries.push(entry);
    if (entry.type !== "directory") continue;
    for (const name of readdirSync(join(root, path))) {
      // Node shows bytes that are no UTF-8 as this character; two such names could look the same.
      if (name.includes("\ufffd"))
        throw new BaselineError("BASELINE_ROOT_UNFIT", { expected: "file names in UTF-8", actual: `${path} ${name}` });
      pending.push(path === "/" ? `/${name}` : `${path}/${name}`);
    }
  }
  return entries;
}
