import type { DebianRecipe } from "../recipe/recipe.ts";
import { diffLocks } from "./diff.ts";
import { LockError } from "./errors.ts";
import type { Lock, RootName } from "./lock.ts";
import { type UpdateOptions, updateLock } from "./update.ts";

/** A package that is not the locked one: for the operator to read and the provenance to record. */
export interface DriftedPackage {
  readonly root: RootName;
  readonly name: string;
  /** Absent when the locked set did not have it. */
  readonly locked?: string;
  /** Absent when the new set does not have it. */
  readonly resolved?: string;
}

export interface DriftOptions extends UpdateOptions {
  /** "dev" goes on with what there is and says so; "release" is made from its lock or not at all. */
  readonly channel: "dev" | "release";
}

export interface Drift {
  readonly lock: Lock;
  readonly drift: readonly DriftedPackage[];
}

/** What differs between two locks, as drift. */
export function driftBetween(before: Lock, after: Lock): readonly DriftedPackage[] {
  return diffLocks(before, after).map((change) => ({
    root: change.root,
    name: change.name,
    ...(change.kind === "added" ? {} : { locked: change.from }),
    ...(change.kind === "removed" ? {} : { resolved: change.to }),
  }));
}

/**
 * What to build from when locked packages have left every mirror: a lock made now, for this build alone; the file in the repository
 * stays as it is.
 * @throws LockError LOCK_DRIFT_REFUSED for a release, and what `updateLock` throws
 */
export async function resolveDrift(recipe: DebianRecipe, lock: Lock, { channel, ...options }: DriftOptions): Promise<Drift> {
  if (channel !== "dev") {
    throw new LockError("LOCK_DRIFT_REFUSED", {
      expected: "every locked package on some mirror",
      actual: "packages that have left",
    });
  }
  const next = await updateLock(recipe, options);
  return { lock: next, drift: driftBetween(lock, next) };
}
