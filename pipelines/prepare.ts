import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Designation } from "@secai/formats/designation";
import { defaultKeysDirectory } from "@secai/formats/keys";
import { cacheDirectory } from "./engine/command.ts";
import { type Keyring, loadKeyring } from "./keyring.ts";
import { requireMatchingLock } from "./lock/check-lock.ts";
import { loadLock } from "./lock/load.ts";
import { type Lock, lockDate, lockPath } from "./lock/lock.ts";
import { type PlanInputs, plan, planSteps } from "./plan.ts";
import { preflight } from "./preflight.ts";
import { loadRecipeSource, type RecipeSource, recipeFile } from "./recipe/recipe.ts";
import { loadSources, referencesOf, type Sources } from "./sources.ts";
import type { Plan } from "./step.ts";
import type { NpmLock } from "./steps/closure.ts";

/** What a build needs of the host; everything else comes from locked tool roots. */
export const buildNeeds = ["mmdebstrap", "bwrap", "gpgv", "apt-get", "debian-archive-keyring", "openssl", "uidmap"] as const;

export interface PrepareRequest {
  readonly top: string;
  readonly recipe: string;
  readonly env: NodeJS.ProcessEnv;
  readonly notice: (message: string) => void;
  /** See PlanInputs. */
  readonly designation?: Designation;
}

/** Everything that is read before a plan can be made. */
export interface Prepared {
  readonly source: RecipeSource;
  readonly lock: Lock;
  readonly keyring: Keyring;
  readonly sources: Sources;
  readonly plan: Plan;
  readonly cacheDir: string;
}

/** Reads recipe, lock, keys and sources. @throws RecipeError, LockError, PipelineError */
export async function prepare(request: PrepareRequest): Promise<Prepared> {
  await preflight(buildNeeds, { notice: request.notice });
  const source = await loadRecipeSource(request.top, recipeFile(request.recipe));
  const lock = await loadLock(join(request.top, lockPath(source.recipe.id)));
  requireMatchingLock(source.recipe, lock);
  return await prepareWith(request, source, lock);
}

/** The same with a lock of the caller's, as after drift. */
export async function prepareWith(request: PrepareRequest, source: RecipeSource, lock: Lock): Promise<Prepared> {
  const { top, env, notice, designation } = request;
  const cacheDir = cacheDirectory(env);
  const keyring = loadKeyring(defaultKeysDirectory(env), notice);
  const npm = JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")) as NpmLock;
  const inputs: PlanInputs = {
    ...{ recipe: source.recipe, lock, npm, keys: keyring, sourceDateEpoch: Math.floor(lockDate(lock)) },
    ...(designation === undefined ? {} : { designation }),
  };
  const steps = planSteps(inputs);
  const sources = await loadSources(top, cacheDir, referencesOf(steps));
  return { source, lock, keyring, sources, plan: plan(inputs, sources, steps), cacheDir };
}
