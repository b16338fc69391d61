import { lstatSync, readlinkSync, type Stats } from "node:fs";
import { join } from "node:path";

/**
 * Trees that the machine will see as one: the sealed root, and a system extension laid over it. The first tree wins where two have the
 * same path, directories of both are one. Symbolic links are followed inside the trees only, whatever they point to.
 */
export type LayeredTree = readonly string[];

/** As in the kernel (path_resolution(7)). */
const MAX_LINKS = 40;

const lstat = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

function entry(trees: LayeredTree, path: string): { readonly path: string; readonly stats: Stats } | undefined {
  for (const tree of trees) {
    const found = join(tree, path);
    const stats = lstat(found);
    if (stats !== undefined) return { path: found, stats };
  }
  return undefined;
}

/**
 * Where the regular file lies on disk that `path`, absolute, means inside the trees; undefined when there is none.
 * Each component was looked up without following links, so what is found lies in one of the trees.
 */
export function resolveInTrees(trees: LayeredTree, path: string): string | undefined {
  const left = path.split("/").reverse();
  let at: readonly string[] = [];
  let links = 0;
  while (left.length > 0) {
    const name = left.pop() ?? "";
    if (name === "" || name === ".") continue;
    if (name === "..") {
      at = at.slice(0, -1);
      continue;
    }
    const found = entry(trees, [...at, name].join("/"));
    if (found === undefined) return undefined;
    if (found.stats.isSymbolicLink()) {
      if (++links > MAX_LINKS) return undefined;
      const target = readlinkSync(found.path);
      if (target.startsWith("/")) at = [];
      left.push(...target.split("/").reverse());
    } else if (found.stats.isDirectory()) at = [...at, name];
    else return left.length === 0 && found.stats.isFile() ? found.path : undefined;
  }
  return undefined;
}
