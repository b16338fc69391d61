import type { BootcRecipe, ImageSource } from "../recipe/recipe.ts";
import { type BootcLock, type LockedImage, UNRESOLVED } from "./bootc-lock.ts";
import { difference, type LockProblem, requireNone, rootProblems, wholeProblems } from "./check-lock.ts";
import { LockError } from "./errors.ts";
import { compareText } from "./lock.ts";
import { requestedTools } from "./update.ts";

/** Every container image that a recipe takes something from, by its name in the lock. */
export function imageSources({ base, modules, imageBuilder }: BootcRecipe): readonly (readonly [string, ImageSource])[] {
  return [
    ["base", base],
    ...modules.map((source): [string, ImageSource] => [`modules.${source.name}`, source]),
    ["imageBuilder", imageBuilder],
  ];
}

/** What the recipe asks of the base's distribution and of its tool roots, sorted. */
export function bootcRequested(recipe: BootcRecipe): BootcLock["requested"] {
  const image = recipe.packages.map(({ name }) => name).sort(compareText);
  return { image, remove: [...recipe.remove.packages].sort(compareText), ...requestedTools(recipe) };
}

/** What the recipe's line and the lock's must agree in. */
const sourceName = ({ repository, tag, digest }: ImageSource): string => `${repository}:${tag ?? ""}@${digest ?? ""}`;
const lockedName = ({ repository, tag, digest }: LockedImage): string =>
  `${repository}:${tag ?? ""}@${tag === null ? digest : ""}`;

function imageProblems(recipe: BootcRecipe, lock: BootcLock): LockProblem[] {
  const wanted = imageSources(recipe).map(([name, source]) => `${name}=${sourceName(source)}`);
  const found = lock.images.map((image) => `${image.name}=${lockedName(image)}`);
  const change = difference(wanted, found);
  return change === "" ? [] : [{ code: "IMAGES_DIFFER", message: change }];
}

function signerProblems(recipe: BootcRecipe, lock: BootcLock): LockProblem[] {
  return imageSources(recipe).flatMap(([name, { signer }]): LockProblem[] => {
    const image = lock.images.find((candidate) => candidate.name === name);
    if (image === undefined || image.signer.kind === signer.kind) return [];
    return [{ code: "IMAGES_DIFFER", root: name, message: `locked as ${image.signer.kind}, not ${signer.kind}` }];
  });
}

function requestProblems(recipe: BootcRecipe, lock: BootcLock): LockProblem[] {
  const { image, remove, ...tools } = bootcRequested(recipe);
  const own = [["image", image] as const, ["remove", remove] as const].flatMap(([root, names]): LockProblem[] => {
    const change = difference(names, lock.requested[root]);
    return change === "" ? [] : [{ code: "REQUEST_DIFFERS", root, message: change }];
  });
  const change = difference(Object.keys(tools), Object.keys(lock.roots));
  const isOpen = lock.unresolved.some(({ name }) => name === "tools");
  if (change !== "") return isOpen ? own : [...own, { code: "ROOTS_DIFFER", message: change }];
  return [...own, ...Object.entries(tools).flatMap(([root, names]) => rootProblems(root, names, lock))];
}

function repositoryProblems({ base }: BootcRecipe, { repositories, unresolved }: BootcLock): LockProblem[] {
  if (unresolved.some(({ name }) => name === "rpms")) return [];
  const change = difference(
    base.repositories.map(({ name }) => name),
    repositories.map(({ name }) => name),
  );
  return change === "" ? [] : [{ code: "REPOSITORIES_DIFFER", message: change }];
}

/** Whether a lock is this recipe's, as it is now. Pure. What is unresolved is no problem of this kind: see `unresolvedProblems`. */
export function checkBootcLock(recipe: BootcRecipe, lock: BootcLock): readonly LockProblem[] {
  // As long as the tools are unresolved there are no suites to compare.
  const { id, toolBase } = recipe;
  const hasTools = !lock.unresolved.some(({ name }) => name === "tools");
  const suites = wholeProblems(id, toolBase, lock).filter(({ code }) => hasTools || code !== "SUITES_DIFFER");
  return [
    ...suites,
    ...imageProblems(recipe, lock),
    ...signerProblems(recipe, lock),
    ...requestProblems(recipe, lock),
    ...repositoryProblems(recipe, lock),
  ];
}

/** What keeps anything from being built, by name. */
export function unresolvedProblems({ unresolved }: BootcLock): readonly LockProblem[] {
  return unresolved.map(({ name, reason }) => ({ code: "UNRESOLVED", root: name, message: reason }));
}

/** @throws LockError LOCK_STALE when the lock is not this recipe's, as it is now */
export function requireMatchingBootcLock(recipe: BootcRecipe, lock: BootcLock): void {
  requireNone(recipe.id, checkBootcLock(recipe, lock));
}

/** @throws LockError LOCK_UNRESOLVED, with every name */
export function requireResolved(lock: BootcLock): void {
  if (lock.unresolved.length === 0) return;
  throw new LockError("LOCK_UNRESOLVED", {
    expected: `everything in the lock of ${lock.recipe} by digest`,
    actual: `${UNRESOLVED}: ${lock.unresolved.map(({ name }) => name).join(", ")}`,
    fix: `Run \`secai lock update ${lock.recipe}\` on a machine that reaches the registries and repositories, and commit the result.`,
  });
}
