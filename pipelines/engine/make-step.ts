import { availableParallelism } from "node:os";
import { CodedError } from "@secai/formats/errors";
import type { Step, StepRecord } from "../step.ts";
import { EngineError } from "./errors.ts";
import { type ExecuteContext, executeStep, localRunner, type StepRunner } from "./execute.ts";
import type { Fetches } from "./fetches.ts";
import { lockFile } from "./lock.ts";
import { tailOf } from "./process.ts";
import type { ResolvedStep } from "./resolve.ts";
import { createSemaphore } from "./semaphore.ts";

export interface StepMakerContext extends Omit<ExecuteContext, "step"> {
  readonly fetches: Fetches;
  readonly parallelism?: number;
  /** Where steps run; default: sandboxes of this machine. */
  readonly runner?: StepRunner;
}

/** Takes a step from the cache or makes it, and tells of it. */
export function createStepMaker(context: StepMakerContext): (resolved: ResolvedStep) => Promise<StepRecord> {
  const { cache, report, signal, fetches } = context;
  const slot = createSemaphore(context.parallelism ?? availableParallelism());
  const runner = context.runner ?? localRunner;
  let checked: Promise<void> | undefined;

  const execute = async (resolved: ResolvedStep): Promise<StepRecord> => {
    const { step, key } = resolved;
    if (step.kind === "fetch") return fetches.make(resolved, step);
    signal.throwIfAborted();
    checked ??= runner.check();
    await checked;
    const lock = await lockFile(cache.lockPath(key), signal);
    try {
      // Another run may have made it while we waited for the lock.
      const made = await cache.lookup(key);
      return made === undefined ? await executeStep({ ...context, step }, resolved, runner) : fromCache(made, resolved);
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
