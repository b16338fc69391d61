import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DebianBase, DebianRecipe } from "../recipe/recipe.ts";
import { LockError } from "./errors.ts";
import {
  architectureOf,
  architecturesOf,
  type Lock,
  type LockedPackage,
  lockedRoot,
  NPM_ARCHIVE,
  type RootName,
  rootNames,
} from "./lock.ts";
import { readNpmPackages } from "./npm.ts";
import { PackageTable, readSuites, requested, type UpdateOptions } from "./update.ts";

export type LockProblemCode =
  | "RECIPE_DIFFERS"
  | "ARCHITECTURE_DIFFERS"
  | "SUITES_DIFFER"
  | "ROOTS_DIFFER"
  | "REQUEST_DIFFERS"
  | "PACKAGE_MISSING"
  | "PACKAGE_FOREIGN"
  | "ARCHIVE_UNKNOWN"
  | "REMOVAL_UNKNOWN"
  | "PACKAGE_GONE"
  | "PACKAGE_CHANGED"
  | "IMAGES_DIFFER"
  | "REPOSITORIES_DIFFER"
  | "UNRESOLVED";

export interface LockProblem {
  readonly code: LockProblemCode;
  readonly root?: RootName;
  readonly message: string;
}

/** "+wanted -found" of what only one of two lists has. */
export function difference(wanted: readonly string[], found: readonly string[]): string {
  const added = wanted.filter((name) => !found.includes(name)).map((name) => `+${name}`);
  const removed = found.filter((name) => !wanted.includes(name)).map((name) => `-${name}`);
  return [...added, ...removed].join(" ");
}

export const suiteNames = (suites: readonly { readonly name: string; readonly suite: string }[]): string[] =>
  suites.map(({ name, suite }) => `${name}/${suite}`);

export function wholeProblems(
  id: string,
  base: DebianBase,
  lock: Pick<Lock, "recipe" | "architecture" | "toolArchitecture" | "archives">,
): LockProblem[] {
  const problems: LockProblem[] = [];
  if (lock.recipe !== id) problems.push({ code: "RECIPE_DIFFERS", message: `locked for "${lock.recipe}", not "${id}"` });
  const [found, due] = [architecturesOf(lock).join(" with tools for "), architecturesOf(base).join(" with tools for ")];
  if (found !== due) problems.push({ code: "ARCHITECTURE_DIFFERS", message: `locked for ${found}, not ${due}` });
  const wanted = suiteNames(base.archives.flatMap(({ name, suites }) => suites.map((suite) => ({ name, suite }))));
  const change = difference(wanted, suiteNames(lock.archives));
  if (change !== "") problems.push({ code: "SUITES_DIFFER", message: change });
  return problems;
}

function packageProblem(root: RootName, entry: LockedPackage, lock: ToolLock): LockProblem[] {
  const problems: LockProblem[] = [];
  if (entry.architecture !== "all" && entry.architecture !== architectureOf(lock, root)) {
    problems.push({ code: "PACKAGE_FOREIGN", root, message: `${entry.name} is for ${entry.architecture}` });
  }
  if (!lock.archives.some(({ name }) => name === entry.archive)) {
    problems.push({
      code: "ARCHIVE_UNKNOWN",
      root,
      message: `${entry.name} is of an archive "${entry.archive}" that is not locked`,
    });
  }
  return problems;
}

/** The part of a lock that any kind of recipe has. */
type ToolLock = Pick<Lock, "architecture" | "toolArchitecture" | "archives"> & {
  readonly requested: Readonly<Record<RootName, readonly string[]>>;
  readonly roots: Readonly<Record<RootName, readonly LockedPackage[]>>;
};

export function rootProblems(root: RootName, wanted: readonly string[], lock: ToolLock): LockProblem[] {
  const packages = lockedRoot(lock, root);
  const locked = new Set(packages.map(({ name }) => name));
  const change = difference(wanted, lock.requested[root] ?? []);
  const missing = wanted.filter((name) => !locked.has(name));
  return [
    ...(change === "" ? [] : [{ code: "REQUEST_DIFFERS", root, message: change } as const]),
    ...missing.map((name) => ({ code: "PACKAGE_MISSING", root, message: `${name} is not locked` }) as const),
    ...packages.flatMap((entry) => packageProblem(root, entry, lock)),
  ];
}

function npmProblems(recipe: DebianRecipe, { npm = [] }: Lock): LockProblem[] {
  const change = difference(
    recipe.npm.map(({ name, version }) => `${name}@${version}`),
    npm.map(({ name, version }) => `${name}@${version}`),
  );
  return change === "" ? [] : [{ code: "REQUEST_DIFFERS", root: NPM_ARCHIVE, message: change }];
}

/** What a recipe wants to remove must have come: otherwise the line in the recipe does nothing. */
function removalProblems({ remove }: DebianRecipe, { roots }: Lock): LockProblem[] {
  const locked = new Set(roots.image.map(({ name }) => name));
  const idle = remove.packages.filter((name) => !locked.has(name));
  return idle.map((name) => ({
    code: "REMOVAL_UNKNOWN",
    root: "image",
    message: `remove.packages names ${name}, which is not locked`,
  }));
}

/** Whether a lock is this recipe's, as it is now. Pure; an empty list is good. */
export function checkLock(recipe: DebianRecipe, lock: Lock): readonly LockProblem[] {
  const wanted = requested(recipe);
  const change = difference(Object.keys(wanted), rootNames(lock));
  if (change !== "") return [...wholeProblems(recipe.id, recipe.base, lock), { code: "ROOTS_DIFFER", message: change }];
  return [
    ...wholeProblems(recipe.id, recipe.base, lock),
    ...Object.entries(wanted).flatMap(([root, names]) => rootProblems(root, names, lock)),
    ...npmProblems(recipe, lock),
    ...removalProblems(recipe, lock),
  ];
}

/** @throws LockError LOCK_STALE when the lock is not this recipe's, as it is now */
export function requireMatchingLock(recipe: DebianRecipe, lock: Lock): void {
  requireNone(recipe.id, checkLock(recipe, lock));
}

/** @throws LockError LOCK_STALE */
export function requireNone(id: string, problems: readonly LockProblem[]): void {
  if (problems.length === 0) return;
  const actual = problems
    .slice(0, 5)
    .map(({ code, root, message }) => `${code}${root === undefined ? "" : ` (${root})`}: ${message}`);
  throw new LockError("LOCK_STALE", { expected: `a lock of recipe "${id}" as it is now`, actual: actual.join("; ") });
}

async function npmProblemsOnline({ npm = [] }: Lock, options: UpdateOptions): Promise<LockProblem[]> {
  const offered = await readNpmPackages(npm, options);
  return npm.flatMap((entry, index): LockProblem[] => {
    if (offered[index]?.integrity === entry.integrity) return [];
    const message = `${entry.name} ${entry.version} is offered with other bytes`;
    return [{ code: "PACKAGE_CHANGED", root: NPM_ARCHIVE, message }];
  });
}

/**
 * Whether the archives still offer what was locked, by their signed indexes.
 * @throws LockError, FetchError
 */
export async function checkLockOnMirrors(
  recipe: DebianRecipe,
  lock: Lock,
  options: UpdateOptions,
): Promise<readonly LockProblem[]> {
  const directory = await mkdtemp(join(tmpdir(), "secai-lock-"));
  try {
    const suites = [];
    for (const architecture of architecturesOf(recipe.base))
      suites.push(...(await readSuites({ ...recipe.base, architecture }, directory, options)));
    const table = new PackageTable(suites);
    const debian = rootNames(lock).flatMap((root) =>
      lockedRoot(lock, root).flatMap((entry): LockProblem[] => {
        const offered = table.find(entry);
        const what = `${entry.name} ${entry.version}`;
        if (offered === undefined) return [{ code: "PACKAGE_GONE", root, message: `${what} is no longer offered` }];
        if (offered.sha256 !== entry.sha256)
          return [{ code: "PACKAGE_CHANGED", root, message: `${what} is offered with other bytes` }];
        return [];
      }),
    );
    return [...debian, ...(await npmProblemsOnline(lock, options))];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
