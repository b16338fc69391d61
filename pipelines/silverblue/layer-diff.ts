import { SilverblueError } from "./errors.ts";
import { isLeftover } from "./normalise.ts";
import type { Print } from "./tree-archive.ts";

/** What a layer must hold to turn one tree into another. */
export interface LayerDiff {
  /** Paths that are new or changed, and the folders above them. */
  readonly changed: ReadonlySet<string>;
  /** Paths that are gone, topmost only, by the folder they were in. */
  readonly whiteouts: ReadonlyMap<string, readonly string[]>;
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

function ancestors(path: string): readonly string[] {
  return path === "" ? [] : [parentOf(path), ...ancestors(parentOf(path))];
}

/** @throws SilverblueError LAYER_UNSAFE for a name that readers would take for a whiteout, LAYER_NOT_CLEAN for what must not ship */
export function diffTrees(before: ReadonlyMap<string, Print>, after: ReadonlyMap<string, Print>): LayerDiff {
  const changed = new Set<string>();
  for (const [path, print] of after) {
    // The root folder itself is the machine's.
    if (path === "" || before.get(path)?.digest === print.digest) continue;
    checkName(path);
    if (print.type !== "directory" && isLeftover(path))
      throw new SilverblueError("LAYER_NOT_CLEAN", { expected: "no left-over of the build", actual: `/${path}` });
    changed.add(path);
    for (const folder of ancestors(path)) if (folder !== "") changed.add(folder);
  }
  return { changed, whiteouts: goneOf(before, after) };
}

function checkName(path: string): void {
  if (nameOf(path).startsWith(".wh."))
    throw new SilverblueError("LAYER_UNSAFE", { expected: "names that are no whiteouts", actual: `/${path}` });
}

/** A folder that became a file takes its content along; so does a whiteout. */
function goneOf(before: ReadonlyMap<string, Print>, after: ReadonlyMap<string, Print>): ReadonlyMap<string, readonly string[]> {
  const gone = new Map<string, string[]>();
  for (const path of before.keys()) {
    const parent = parentOf(path);
    if (path === "" || after.has(path) || after.get(parent)?.type !== "directory" || before.get(parent)?.type !== "directory")
      continue;
    gone.set(parent, [...(gone.get(parent) ?? []), nameOf(path)].sort());
  }
  return gone;
}
