import { basename } from "node:path";
import { bootcContradictions } from "./bootc-contradictions.ts";
import type { Merged } from "./merge.ts";
import type { Mistake, MistakeCode } from "./mistake.ts";
import { type DebianRecipe, debianBaseOf, isBootc, type Recipe } from "./recipe.ts";

export interface Contradiction {
  /** CONTRADICTION when absent. */
  readonly code?: MistakeCode;
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

/** Least size of the partition for /var, which systemd-repart makes of what the slots leave (image/debian/usr/lib/repart.d). */
const VAR_MIB = 512;

function slotsDoNotFit({ disk, extensions }: DebianRecipe): Contradiction[] {
  const extensionsMiB = extensions.reduce((sum, { sizeMiB }) => sum + sizeMiB, 0);
  const neededMiB = disk.espMiB + 2 * (disk.rootMiB + disk.verityMiB + extensionsMiB);
  if (neededMiB + VAR_MIB <= disk.imageGiB * 1024) return [];
  const message =
    `${disk.imageGiB} GiB leave less than ${VAR_MIB} MiB for /var: boot partition and two slots ` +
    `of the root and ${extensions.length} extensions take ${neededMiB} MiB`;
  return [{ at: "disk.imageGiB", path: "disk.imageGiB", message }];
}

/** A GPT has room for 36 characters of a partition's name (UEFI 2.10, 5.3.3). */
const LABEL_CHARS = 36;

function extensionNames({ extensions, version }: DebianRecipe): Contradiction[] {
  const labels = extensions.map(({ name }) => ({ name, label: `ext_${name}_${version}` }));
  return labels
    .filter(({ label }) => label.length > LABEL_CHARS)
    .map(({ name, label }) => ({
      at: `extensions/${name}`,
      path: "extensions",
      message: `"${label}" has more than the ${LABEL_CHARS} characters of a partition's name`,
    }));
}

function archives(recipe: Recipe): Contradiction[] {
  const key = isBootc(recipe) ? "toolBase" : "base";
  const base = debianBaseOf(recipe);
  const found: Contradiction[] = [];
  const names = base.archives.map(({ name }) => name);
  for (const name of names.filter((name, index) => names.indexOf(name) !== index)) {
    found.push({ at: key, path: `${key}.archives`, message: `two archives are named "${name}"` });
  }
  if (!base.archives.some(({ suites }) => suites.includes(base.release))) {
    const message = `no archive has the suite "${base.release}" of ${key}.release`;
    found.push({ at: key, path: `${key}.archives`, message });
  }
  return found;
}

/** The lock and the output folder are named by the id: two recipes must not share them by accident. */
function fileName({ id }: Recipe, file: string): Contradiction[] {
  if (basename(file) === `${id}.yaml`) return [];
  return [{ at: "id", path: "id", message: `the file of recipe "${id}" must be named ${id}.yaml` }];
}

/** Debian policy 5.6.1; the schema allows what RPM does. */
const DEBIAN_NAME = /^[a-z0-9][a-z0-9+.-]+$/;

function debianNames(recipe: Recipe): Contradiction[] {
  const lists = Object.entries(recipe.toolRoots).map(
    ([root, packages]) => [`toolRoots.${root}`, packages.map(({ name }) => name)] as const,
  );
  const own = isBootc(recipe) ? [] : [["packages", recipe.packages.map(({ name }) => name)] as const];
  return [...own, ...lists].flatMap(([path, names]) =>
    names
      .filter((name) => !DEBIAN_NAME.test(name))
      .map((name) => ({ at: `${path}/${name}`, path, message: `"${name}" is no name of a Debian package` })),
  );
}

/** Keys that only recipes with the other kind of base have. */
const foreignKeys = {
  debian: ["release", "toolBase", "modules", "units", "repository", "imageBuilder", "sealed", "remove.commands"],
  bootc: ["initrd", "disk", "extensions", "npm", "remove.paths"],
} as const;

function foreign({ base: { kind } }: Recipe, { origins }: Merged): Contradiction[] {
  return foreignKeys[kind].flatMap((key) => {
    const at = [...origins.keys()].find(
      (origin) => origin === key || (/^[./]/.test(origin.slice(key.length, key.length + 1)) && origin.startsWith(key)),
    );
    return at === undefined ? [] : [{ at, path: key, message: `means nothing with base.kind ${kind}` }];
  });
}

/** What is wrong although every value is right by itself. */
export function contradictions(recipe: Recipe, merged: Merged, file: string): Mistake[] {
  const found: readonly Contradiction[] = [
    ...removedButAsked(recipe),
    ...archives(recipe),
    ...fileName(recipe, file),
    ...debianNames(recipe),
    ...foreign(recipe, merged),
    ...(isBootc(recipe) ? bootcContradictions(recipe) : [...slotsDoNotFit(recipe), ...extensionNames(recipe)]),
  ];
  return found.map(({ code = "CONTRADICTION", at, path, message }) => {
    const position = merged.origins.get(at) ?? { file, line: 1, column: 1 };
    return { ...position, code, path, message };
  });
}
