import type { Plan } from "../step.ts";
import { createCache } from "./cache.ts";
import { dependenciesOf } from "./check-plan.ts";
import type { Engine, Fetcher, RunOptions } from "./engine.ts";
import { EngineError } from "./errors.ts";
import { DEFAULT_MAX_CACHE_BYTES, tidy } from "./gc.ts";
import { joinLock } from "./lock.ts";
import type { Surroundings } from "./materialize.ts";
import { neededSteps } from "./resolve.ts";
import { withRun } from "./run.ts";
import { openShell } from "./shell.ts";

export interface LocalEngineOptions extends Surroundings {
  /** The content store; made when it is missing. */
  readonly cacheDir: string;
  readonly fetcher: Fetcher;
  /** Steps that run at a time; default: one per core. */
  readonly parallelism?: number;
  /** Size above which the least recently used entries are removed when a run starts alone, at most once an hour; default 40 GiB. */
  readonly maxCacheBytes?: number;
}

export interface LocalEngine extends Engine {
  /**
   * Opens a shell where step `id` runs: same tools, inputs, secrets and environment, an empty /out and /tmp. What it needs is built first.
   * @returns the shell's exit status
   * @throws EngineError STEP_UNKNOWN, and what `run` throws
   */
  shell(plan: Plan, id: string, options: Pick<RunOptions, "report" | "signal">): Promise<number>;
}

/** At once, and not after the hours that the steps before it take. @throws EngineError STEP_NEEDS_RUNNER */
function refuseMachineSteps(plan: Plan, targets: readonly string[]): void {
  const needs = neededSteps(plan, targets).filter((step) => step.kind === "exec" && step.privileges === "machine");
  if (needs.length === 0) return;
  const names = needs.map(({ id }) => id).join(", ");
  throw new EngineError("STEP_NEEDS_RUNNER", { expected: "steps that a sandbox can run", actual: names });
}

/** Runs steps in bubblewrap sandboxes on this machine, as uid 0 (see user-namespace.ts for ordinary users). */
export function createLocalEngine(options: LocalEngineOptions): LocalEngine {
  const cache = createCache(options.cacheDir);
  const context = { ...options, cache };
  let joined: Promise<unknown> | undefined;
  /** From the first run to the end of this process, nobody else collects the cache. */
  const join = async (): Promise<void> => {
    joined ??= joinLock(cache.useLockPath, () => tidy(cache, options.maxCacheBytes ?? DEFAULT_MAX_CACHE_BYTES));
    await joined;
  };
  return {
    name: "local",
    async run(plan, runOptions) {
      const targets = (runOptions.targets ?? Object.values(plan.outputs)).map(({ step }) => step);
      refuseMachineSteps(plan, targets);
      await join();
      return await withRun(context, plan, runOptions, (run) => run.build(targets));
    },
    async shell(plan, id, runOptions) {
      const step = plan.steps.find((candidate) => candidate.id === id);
      if (step?.kind !== "exec") throw new EngineError("STEP_UNKNOWN", { expected: "a step that runs a program", actual: id });
      await join();
      return await withRun(context, plan, runOptions, async (run) => {
        await run.build(dependenciesOf(step));
        return await openShell({ ...run, cache, plan, step });
      });
    },
  };
}
