import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The top of this checkout. */
export const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Runs git here, also where the checkout belongs to another user (a CI runner's root, a mounted folder). */
function git(args: readonly string[]): string {
  return execFileSync("git", ["-c", `safe.directory=${top}`, ...args], { cwd: top, encoding: "utf8", maxBuffer: 64 << 20 });
}

/** Paths, from the top, of every file git tracks or would track: what a clone or the next commit holds. Sorted. */
export function repositoryFiles(): readonly string[] {
  const list = git(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
  const deleted = new Set(git(["ls-files", "-z", "--deleted"]).split("\0"));
  return list
    .split("\0")
    .filter((path) => path !== "" && !deleted.has(path))
    .sort();
}

export function readRepositoryFile(path: string): string {
  return readFileSync(join(top, path), "utf8");
}
