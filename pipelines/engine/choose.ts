import { isPointedAtDagger } from "./dagger/discover.ts";
import type { Engine } from "./engine.ts";
import { EngineError } from "./errors.ts";
import { createLocalEngine, type LocalEngineOptions } from "./local.ts";

export const engineNames = ["local", "dagger", "auto"] as const;
export type EngineName = (typeof engineNames)[number];

/** @throws EngineError ENGINE_UNKNOWN */
export function parseEngineName(text: string): EngineName {
  const name = engineNames.find((candidate) => candidate === text);
  if (name === undefined) throw new EngineError("ENGINE_UNKNOWN", { expected: engineNames.join(", "), actual: text });
  return name;
}

const MAX_JOBS = 64;

/** @throws EngineError JOBS_INVALID */
export function parseJobs(text: string): number {
  const jobs = /^[1-9]\d?$/.test(text) ? Number(text) : 0;
  if (jobs < 1 || jobs > MAX_JOBS) throw new EngineError("JOBS_INVALID", { expected: `1 to ${MAX_JOBS}`, actual: text });
  return jobs;
}

/**
 * The engine of a build. "auto" is Dagger when the environment points at one (a session, a runner address or a CLI by its variable):
 * that a `dagger` program lies in PATH is no wish to use it. Dagger's code is loaded only when it is chosen, its SDK when a step must run.
 */
export async function chooseEngine(name: EngineName, env: NodeJS.ProcessEnv, options: LocalEngineOptions): Promise<Engine> {
  if (name === "local" || (name === "auto" && !isPointedAtDagger(env))) return createLocalEngine(options);
  const { createDaggerEngine } = await import("./dagger/dagger.ts");
  return createDaggerEngine({ ...options, env });
}
