import { availableParallelism } from "node:os";
import { CodedError } from "@secai/formats/errors";
import type { OutputRecord, OutputRef, Plan, Step, StepRecord } from "../step.ts";
import { type Cache, createCache } from "./cache.ts";
import { dependenciesOf } from "./check-plan.ts";
import type { Engine, EngineEvent, Fetcher, RunOptions, RunResult } from "./engine.ts";
import { EngineError } from "./errors.ts";
import { executeStep } from "./execute.ts";
import { createFetches, type Fetches } from "./fetches.ts";
import { DEFAULT_MAX_CACHE_BYTES, tidy } from "./gc.ts";
import { joinLock, lockFile } from "./lock.ts";
import { createMaterializer, type Materializer, type Surroundings } from "./materialize.ts";
import { checkSandbox, tailOf } from "./process.ts";
import { removeTree } from "./remove.ts";
import { neededSteps, type ResolvedStep, resolveStep } from "./resolve.ts";
import { SANDBOX_REVISION } from "./sandbox.ts";
import { createSemaphore } from "./semaphore.ts";
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

/** Part of each cache key of this engine. */
const SANDBOX = `bubblewrap-${SANDBOX_REVISION}`;

/** Runs steps in bubblewrap sandboxes on this machine, as uid 0 (see user-namespace.ts for ordinary users). */
export function createLocalEngine(options: LocalEngineOptions): LocalEngine {
  const cache = createCache(options.cacheDir);
  let joined: Promise<unknown> | undefined;
  const join = (): Promise<unknown> => {
    const maxBytes = options.maxCacheBytes ?? DEFAULT_MAX_CACHE_BYTES;
    joined ??= joinLock(cache.useLockPath, () => tidy(cache, maxBytes));
    return joined;
  };
  const start = async (plan: Plan, runOptions: RunOptions): Promise<Run> => {
    await join();
    return createRun(options, cache, plan, runOptions);
  };
  return {
    name: "local",
    async run(plan, runOptions) {
      const run = await start(plan, runOptions);
      const targets = (runOptions.targets ?? Object.values(plan.outputs)).map(({ step }) => step);
      return await run.finish(() => run.build(targets));
    },
    async shell(plan, id, runOptions) {
      const run = await start(plan, runOptions);
      const [step] = neededSteps(plan, [id]).slice(-1);
      if (step?.kind !== "exec") throw new EngineError("STEP_UNKNOWN", { expected: "a step that runs a program", actual: id });
      return run.finish(async () => {
        await run.build(dependenciesOf(step));
        return openShell({ plan, step, temporary: run.temporary, materializer: run.materializer, pathOf: run.pathOf });
      });
    },
  };
}

interface Run {
  readonly temporary: string;
  readonly materializer: Materializer;
  readonly pathOf: (ref: OutputRef) => string;
  build(targets: readonly string[]): Promise<RunResult>;
  /** Does the work, then removes the run's private folder, whatever happened. */
  finish<T>(work: () => Promise<T>): Promise<T>;
}

async function createRun(options: LocalEngineOptions, cache: Cache, plan: Plan, { report, signal }: RunOptions): Promise<Run> {
  const temporary = await cache.makeTemporary();
  const stop = new AbortController();
  const stopAll = (): void => stop.abort();
  signal?.addEventListener("abort", stopAll);
  if (signal?.aborted === true) stopAll();

  const records = new Map<string, StepRecord>();
  const recordOf = (id: string): StepRecord => {
    const record = records.get(id);
    if (record === undefined)
      throw new EngineError("PLAN_INVALID", { expected: `step ${id} among the targets`, actual: "not built" });
    return record;
  };
  const outputOf = ({ step, output }: OutputRef): OutputRecord => {
    const record = recordOf(step).outputs[output];
    if (record === undefined)
      throw new EngineError("PLAN_INVALID", { expected: `output ${output} of step ${step}`, actual: "none" });
    return record;
  };
  const pathOf = (ref: OutputRef): string => {
    outputOf(ref);
    return cache.outputPath(recordOf(ref.step).key, ref.output);
  };
  const fetches = createFetches({ cache, fetcher: options.fetcher, report, signal: stop.signal, temporary });
  const materializer = createMaterializer({ ...options, plan, cache, temporary, pathOf, ensureFetched: fetches.ensure });
  const makeOne = createStepMaker({
    ...options,
    cache,
    plan,
    report,
    signal: stop.signal,
    temporary,
    pathOf,
    materializer,
    fetches,
  });

  const build = async (targets: readonly string[]): Promise<RunResult> => {
    const steps = neededSteps(plan, targets);
    report({ type: "plan", steps: steps.length, time: now() });
    const tasks = new Map<string, Promise<void>>();
    for (const step of steps) {
      const needs = dependenciesOf(step).map((id) => tasks.get(id));
      tasks.set(
        step.id,
        Promise.all(needs).then(async () => {
          records.set(step.id, await makeOne(resolveStep(plan, step, outputOf, SANDBOX)));
        }),
      );
    }
    await firstFailure([...tasks.values()], stopAll);
    return { records: steps.map(({ id }) => recordOf(id)), pathOf };
  };

  const finish = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } finally {
      signal?.removeEventListener("abort", stopAll);
      await removeTree(temporary);
    }
  };
  return { temporary, materializer, pathOf, build, finish };
}

/** Waits for all; the first error stops the others, and is thrown once they have ended. */
async function firstFailure(tasks: readonly Promise<void>[], stopOthers: () => void): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    tasks.map((task) =>
      task.catch((error: unknown) => {
        failure ??= { error };
        stopOthers();
      }),
    ),
  );
  if (failure !== undefined) throw failure.error;
}

interface StepMakerContext {
  readonly cache: Cache;
  readonly plan: Plan;
  readonly report: (event: EngineEvent) => void;
  readonly signal: AbortSignal;
  readonly temporary: string;
  readonly pathOf: (ref: OutputRef) => string;
  readonly materializer: Materializer;
  readonly fetches: Fetches;
  readonly parallelism?: number;
}

/** Takes a step from the cache or makes it, and tells of it. */
function createStepMaker(context: StepMakerContext): (resolved: ResolvedStep) => Promise<StepRecord> {
  const { cache, report, signal, fetches } = context;
  const slot = createSemaphore(context.parallelism ?? availableParallelism());
  let sandboxChecked: Promise<void> | undefined;

  const execute = async (resolved: ResolvedStep): Promise<StepRecord> => {
    const { step, key } = resolved;
    if (step.kind === "fetch") return fetches.make(resolved, step);
    signal.throwIfAborted();
    sandboxChecked ??= checkSandbox();
    await sandboxChecked;
    const lock = await lockFile(cache.lockPath(key));
    try {
      // Another run may have made it while we waited for the lock.
      const made = await cache.lookup(key);
      return made === undefined ? await executeStep({ ...context, step }, resolved) : fromCache(made, resolved);
    } finally {
      await lock.release();
    }
  };

  return async (resolved) => {
    const { step } = resolved;
    const found = await cache.lookup(resolved.key);
    const record =
      found === undefined
        ? await told(context, step, () => slotFor(step, slot, () => execute(resolved)))
        : fromCache(found, resolved);
    report({
      type: "step-finished",
      step: step.id,
      cached: record.cached,
      durationMs: record.cached ? 0 : Date.parse(record.finishedOn) - Date.parse(record.startedOn),
      sizeBytes: sizeOf(record),
      time: now(),
    });
    return record;
  };
}

/** Fetching waits for the network, not for a core. */
function slotFor<T>(step: Step, slot: <U>(task: () => Promise<U>) => Promise<U>, task: () => Promise<T>): Promise<T> {
  return step.kind === "fetch" ? task() : slot(task);
}

/** What a cached record says of the work, under the names this plan gives it. */
function fromCache(record: StepRecord, { step, inputs }: ResolvedStep): StepRecord {
  return { ...record, id: step.id, step, inputs, cached: true };
}

async function told(context: StepMakerContext, step: Step, work: () => Promise<StepRecord>): Promise<StepRecord> {
  const { cache, report, signal } = context;
  try {
    return await work();
  } catch (error) {
    const stopped = signal.aborted && !(error instanceof CodedError && error.code !== "BUILD_CANCELLED");
    const failure = stopped ? new EngineError("BUILD_CANCELLED", { cause: error }) : error;
    const logPath = cache.logPath(step.id);
    report({
      type: "step-failed",
      step: step.id,
      code: failure instanceof CodedError ? failure.code : "INTERNAL",
      logPath,
      tail: failure instanceof CodedError && failure.code === "STEP_FAILED" ? await tailOf(logPath) : [],
      time: now(),
    });
    throw failure;
  }
}

function sizeOf({ step, outputs }: StepRecord): number {
  const sizes = step.kind === "fetch" ? step.files.map(({ size }) => size) : Object.values(outputs).map(({ size }) => size);
  return sizes.reduce((sum, size) => sum + size, 0);
}

const now = (): string => new Date().toISOString();
