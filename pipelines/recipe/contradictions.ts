import { basename } from "node:path";
import type { Mistake, Position } from "./mistake.ts";
import type { Recipe } from "./recipe.ts";

interface Contradiction {
  /** A key of the origins. */
  readonly at: string;
  readonly path: string;
  readonly message: string;
}

function removedButAsked({ packages, remove }: Recipe): Contradiction[] {
  const removed = new Set(remove.packages);
  return packages
    .filter(({ name }) => removed.has(name))
    .map(({ name }) => ({ at: `packages/${name}`, path: "packages", message: `"${name}" is also in remove.packages` }));
}

function slotsDoNotFit({ disk }: Recipe): Contradiction[] {
  const neededMiB = disk.espMiB + 2 * (disk.rootMiB + disk.verityMiB);
  if (neededMiB < disk.imageGiB * 1024) return [];
  const message = `${disk.imageGiB} GiB leave nothing for /var: boot partition and two slots take ${neededMiB} MiB`;
  return [{ at: "disk.imageGiB", path: "disk.imageGiB", message }];
}

function archives({ base }: Recipe): Contradiction[] {
  const found: Contradiction[] = [];
  const names = base.archives.map(({ name }) => name);
  for (const name of names.filter((name, index) => names.indexOf(name) !== index)) {
    found.push({ at: "base", path: "base.archives", message: `two archives are named "${name}"` });
  }
  if (!base.archives.some(({ suites }) => suites.includes(base.release))) {
    found.push({ at: "base", path: "base.archives", message: `no archive has the suite "${base.release}" of base.release` });
  }
  return found;
}

/** The lock and the output folder are named by the id: two recipes must not share them by accident. */
function fileName({ id }: Recipe, file: string): Contradiction[] {
  if (basename(file) === `${id}.yaml`) return [];
  return [{ at: "id", path: "id", message: `the file of recipe "${id}" must be named ${id}.yaml` }];
}

/** What is wrong although every value is right by itself. */
export function contradictions(recipe: Recipe, origins: ReadonlyMap<string, Position>, file: string): Mistake[] {
  const found = [...removedButAsked(recipe), ...slotsDoNotFit(recipe), ...archives(recipe), ...fileName(recipe, file)];
  return found.map(({ at, path, message }) => {
    const position = origins.get(at) ?? { file, line: 1, column: 1 };
    return { ...position, code: "CONTRADICTION", path, message };
  });
}
