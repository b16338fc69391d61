import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Designation } from "@secai/formats/designation";
import { defaultKeysDirectory } from "@secai/formats/keys";
import { cacheDirectory } from "./engine/command.ts";
import { PipelineError } from "./errors.ts";
import type { CommandIo } from "./io.ts";
import { type Keyring, loadKeyring } from "./keyring.ts";
import type { BootcLock } from "./lock/bootc-lock.ts";
import { requireMatchingBootcLock, requireResolved } from "./lock/check-bootc-lock.ts";
import { requireMatchingLock } from "./lock/check-lock.ts";
import { loadBootcLock, loadLock } from "./lock/load.ts";
import { type Lock, lockDate, lockPath } from "./lock/lock.ts";
import { composePlan, type PlanInputs, plan, planSteps } from "./plan.ts";
import { type BootcPlanInputs, bootcEpoch, bootcOutputs, bootcPlanSteps } from "./plan-silverblue.ts";
import { preflight } from "./preflight.ts";
import {
  type BootcRecipe,
  byKind,
  type DebianRecipe,
  loadRecipeSource,
  type Recipe,
  type RecipeSource,
  recipeFile,
  requireDebian,
} from "./recipe/recipe.ts";
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

/** As a command asks for it: remarks go to standard error, a line each. */
export const requestOf = ({ top, env, stderr }: CommandIo, recipe: string): PrepareRequest => ({
  ...{ top, recipe, env },
  notice: (line) => stderr(`${line}\n`),
});

interface PreparedAs<Kind extends Recipe, LockOfKind> {
  readonly source: RecipeSource<Kind>;
  readonly lock: LockOfKind;
  readonly keyring: Keyring;
  readonly sources: Sources;
  readonly plan: Plan;
  readonly cacheDir: string;
}

/** Everything that is read before a plan can be made. */
export type Prepared = PreparedAs<DebianRecipe, Lock>;
/** The same of a recipe on a container base. */
export type BootcPrepared = PreparedAs<BootcRecipe, BootcLock>;

/** Reads recipe, lock, keys and sources of a sealed image. @throws RecipeError, RecipeKindError, LockError, PipelineError */
export async function prepare(request: PrepareRequest): Promise<Prepared> {
  await preflight(buildNeeds, { notice: request.notice });
  const source = await loadRecipeSource(request.top, recipeFile(request.recipe));
  return await prepareDebian(request, { ...source, recipe: requireDebian(source.recipe) });
}

/**
 * The same of any kind of recipe.
 * @param purpose "show": a lock with unresolved parts gives the preview of a plan; to "build" from it is refused
 * @throws RecipeError, LockError, PipelineError
 */
export async function prepareAny(request: PrepareRequest, purpose: "show" | "build"): Promise<Prepared | BootcPrepared> {
  const source = await loadRecipeSource(request.top, recipeFile(request.recipe));
  return await byKind<Promise<Prepared | BootcPrepared>>(source, {
    debian: async (own) => {
      await preflight(buildNeeds, { notice: request.notice });
      return await prepareDebian(request, own);
    },
    bootc: (own) => prepareBootc(request, own, purpose),
  });
}

/** Of a recipe on a container base that is known to be one. @throws RecipeError, LockError LOCK_UNRESOLVED, PipelineError */
export async function prepareContainer(request: PrepareRequest, source: RecipeSource<BootcRecipe>): Promise<BootcPrepared> {
  return await prepareBootc(request, source, "build");
}

async function prepareDebian(request: PrepareRequest, source: RecipeSource<DebianRecipe>): Promise<Prepared> {
  const lock = await loadLock(join(request.top, lockPath(source.recipe.id)));
  requireMatchingLock(source.recipe, lock);
  return await prepareWith(request, source, lock);
}

const npmLock = (top: string): NpmLock => JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")) as NpmLock;

/** The same with a lock of the caller's, as after drift. */
export async function prepareWith(request: PrepareRequest, source: RecipeSource<DebianRecipe>, lock: Lock): Promise<Prepared> {
  const { top, env, notice, designation } = request;
  const cacheDir = cacheDirectory(env);
  const keyring = loadKeyring(defaultKeysDirectory(env), notice);
  const inputs: PlanInputs = {
    ...{ recipe: source.recipe, lock, npm: npmLock(top), keys: keyring, sourceDateEpoch: Math.floor(lockDate(lock)) },
    ...(designation === undefined ? {} : { designation }),
  };
  const steps = planSteps(inputs);
  const sources = await loadSources(top, cacheDir, referencesOf(steps));
  return { source, lock, keyring, sources, plan: plan(inputs, sources, steps), cacheDir };
}

async function prepareBootc(
  { top, env, notice }: PrepareRequest,
  source: RecipeSource<BootcRecipe>,
  purpose: "show" | "build",
): Promise<BootcPrepared> {
  const { recipe } = source;
  const lock = await loadBootcLock(join(top, lockPath(recipe.id)));
  requireMatchingBootcLock(recipe, lock);
  if (purpose === "build") {
    // Before anything is installed or made: nothing else matters as long as there is nothing to build from.
    requireResolved(lock);
    await preflight(buildNeeds, { notice });
  }
  const cacheDir = cacheDirectory(env);
  const keyring = loadKeyring(defaultKeysDirectory(env), notice);
  const inputs: BootcPlanInputs = {
    ...{ recipe, lock, npm: npmLock(top), releaseKey: keyring.publicFiles["release.pub"] },
    ...{ revision: revisionOf(top), sourceDateEpoch: bootcEpoch(lock) },
  };
  const steps = bootcPlanSteps(inputs);
  const sources = await loadSources(top, cacheDir, referencesOf(steps));
  const made = composePlan(inputs, sources, steps, bootcOutputs(recipe));
  return { source, lock, keyring, sources, plan: made, cacheDir };
}

/** The commit that an image says it was made from. @throws PipelineError COMMIT_UNKNOWN */
function revisionOf(top: string): string {
  const { status, stdout } = spawnSync("git", ["-C", top, "rev-parse", "HEAD"], { encoding: "utf8" });
  const id = status === 0 ? stdout.trim() : "";
  if (/^[0-9a-f]{40}$/.test(id)) return id;
  throw new PipelineError("COMMIT_UNKNOWN", { expected: `a git commit of ${top}`, actual: "none" });
}
