import { mkdirSync } from "node:fs";
import { cpus } from "node:os";
import { chooseEngine, type EngineName } from "./engine/choose.ts";
import type { EngineEvent, Fetcher, RunResult } from "./engine/engine.ts";
import { createLocalEngine, type LocalEngine, type LocalEngineOptions } from "./engine/local.ts";
import { PackagesGoneError } from "./fetch/errors.ts";
import { createFetcher } from "./fetch/fetch.ts";
import { findMirrors, proxyEnvironment } from "./fetch/mirrors.ts";
import { type Drift, type DriftedPackage, resolveDrift } from "./lock/drift.ts";
import { archivesOf } from "./lock/update.ts";
import { bootcArchives, ownAddresses } from "./lock/update-bootc.ts";
import { type BootcPrepared, type Prepared, type PrepareRequest, prepare, prepareContainer, prepareWith } from "./prepare.ts";
import { type BootcRecipe, isBootc, type Recipe, type RecipeSource } from "./recipe/recipe.ts";
import type { OutputRef, Plan } from "./step.ts";

/** "dev" replaces locked packages that left every mirror and says so; "release" refuses. */
export type Channel = "dev" | "release";

export interface BuildRequest extends PrepareRequest {
  readonly channel: Channel;
  readonly report: (event: EngineEvent) => void;
  readonly signal?: AbortSignal;
  /** Steps that run at once; default: one a core. */
  readonly parallelism?: number;
  /** Where steps run; default: "local". */
  readonly engine?: EngineName;
  /** What to build; default: every output of the plan. */
  readonly targets?: (plan: Plan) => readonly OutputRef[];
}

export interface Build<Kind extends Prepared | BootcPrepared = Prepared> {
  readonly prepared: Kind;
  readonly result: RunResult;
  readonly engine: string;
  /** Packages that are not the locked ones. */
  readonly drift: readonly DriftedPackage[];
}

const mirrorsFor = (recipe: Recipe, env: NodeJS.ProcessEnv) =>
  isBootc(recipe) ? findMirrors(bootcArchives(recipe), [], env, ownAddresses(recipe)) : findMirrors(archivesOf(recipe), [], env);

/** Finds mirrors only when something must be fetched. */
function lazyFetcher(recipe: Recipe, env: NodeJS.ProcessEnv): Fetcher {
  return async (files, blobs, options) => {
    const fetcher = createFetcher({ mirrors: await mirrorsFor(recipe, env), proxyEnv: await proxyEnvironment(env) });
    await fetcher(files, blobs, options);
  };
}

type EngineRequest = Pick<BuildRequest, "top" | "env" | "parallelism">;

export function createEngine(request: EngineRequest, prepared: Prepared): LocalEngine {
  return createLocalEngine(engineOptions(request, prepared));
}

function engineOptions(
  { top, env, parallelism }: EngineRequest,
  { source, keyring, sources, cacheDir }: Prepared | BootcPrepared,
): LocalEngineOptions {
  mkdirSync(cacheDir, { recursive: true });
  return {
    cacheDir,
    top,
    fetcher: lazyFetcher(source.recipe, env),
    keyring: (name) => keyring.secretPath(name),
    programs: async (name) => sources.programPath(name),
    parallelism: parallelism ?? cpus().length,
  };
}

async function runPlan(
  request: BuildRequest,
  prepared: Prepared | BootcPrepared,
): Promise<{ engine: string; result: RunResult }> {
  const engine = await chooseEngine(request.engine ?? "local", request.env, engineOptions(request, prepared));
  const targets = request.targets?.(prepared.plan);
  const result = await engine.run(prepared.plan, {
    report: request.report,
    ...(targets === undefined ? {} : { targets }),
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  });
  return { engine: engine.name, result };
}

/** Another lock for what left the mirrors, said loudly; a release gets none. @throws LockError LOCK_DRIFT_REFUSED */
async function drifted(request: BuildRequest, { source, lock }: Prepared): Promise<Drift> {
  const mirrors = await mirrorsFor(source.recipe, request.env);
  const found = await resolveDrift(source.recipe, lock, {
    mirrors,
    channel: request.channel,
    proxyEnv: await proxyEnvironment(request.env),
  });
  const changes = found.drift.map(
    ({ root, name, locked, resolved }) => `${root}/${name} ${locked ?? "none"} → ${resolved ?? "none"}`,
  );
  const message = `DRIFT: locked packages left every mirror; this dev build differs from its lock in ${changes.length}: ${changes.join(", ")}`;
  request.report({ type: "notice", level: "warning", message, time: new Date().toISOString() });
  return found;
}

/**
 * Builds a recipe.
 * @throws RecipeError, LockError, FetchError, EngineError, PipelineError
 */
export async function build(request: BuildRequest): Promise<Build> {
  const prepared = await prepare(request);
  try {
    return { prepared, ...(await runPlan(request, prepared)), drift: [] };
  } catch (error) {
    if (!(error instanceof PackagesGoneError)) throw error;
    const { lock, drift } = await drifted(request, prepared);
    const again = await prepareWith(request, prepared.source, lock);
    return { prepared: again, ...(await runPlan(request, again)), drift };
  }
}

/**
 * Builds a recipe on a container base: what its lock names by digest, or nothing. There is no drift: what has left every mirror is gone.
 * @throws LockError LOCK_UNRESOLVED, FetchError, EngineError, PipelineError
 */
export async function buildContainer(request: BuildRequest, source: RecipeSource<BootcRecipe>): Promise<Build<BootcPrepared>> {
  const prepared = await prepareContainer(request, source);
  return { prepared, ...(await runPlan(request, prepared)), drift: [] };
}
