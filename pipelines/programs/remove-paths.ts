import { globSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * Deletes what path globs of a recipe name in a tree. One that matches nothing is fine: package sets differ between architectures.
 * @throws Error for a glob that is not absolute or climbs
 */
export function removePaths(tree: string, patterns: readonly string[]): void {
  for (const pattern of patterns) {
    if (!pattern.startsWith("/") || pattern.split("/").includes("..")) throw new Error(`${pattern} leaves the tree`);
    for (const match of globSync(pattern.slice(1), { cwd: tree })) rmSync(join(tree, match), { recursive: true, force: true });
  }
}
