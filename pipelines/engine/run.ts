import type { OutputRecord, OutputRef, Plan, StepRecord } from "../step.ts";
import type { Cache } from "./cache.ts";
import { dependenciesOf } from "./check-plan.ts";
import type { Fetcher, RunOptions, RunResult } from "./engine.ts";
import { EngineError } from "./errors.ts";
import type { StepRunner } from "./execute.ts";
import { createFetches } from "./fetches.ts";
import { createStepMaker } from "./make-step.ts";
import { createMaterializer, type Materializer, type Surroundings } from "./materialize.ts";
import { removeTree } from "./remove.ts";
import { type HostTools, neededSteps, resolveStep } from "./resolve.ts";
import { SANDBOX_REVISION } from "./sandbox.ts";

/** Part of each cache key: both engines run steps in it. */
export const SANDBOX = `bubblewrap-${SANDBOX_REVISION}`;

export interface RunContext extends Surroundings {
  readonly cache: Cache;
  readonly fetcher: Fetcher;
  readonly parallelism?: number;
  /** Where steps run; default: sandboxes of this machine. */
  readonly runner?: StepRunner;
  /** What stands for the tools of {kind: "host"}; default: this machine's own. */
  readonly hostTools?: HostTools;
}

/** One run of a plan: its private folder, its results so far, and the switch that stops it. */
export interface Run {
  readonly temporary: string;
  readonly materializer: Materializer;
  readonly pathOf: (ref: OutputRef) => string;
  /** Makes what the steps `targets` need. */
  build(targets: readonly string[]): Promise<RunResult>;
}

/** Does `work` in a new run and removes the run's private folder afterwards, whatever happened. */
export async function withRun<T>(
  context: RunContext,
  plan: Plan,
  { report, signal }: Pick<RunOptions, "report" | "signal">,
  work: (run: Run) => Promise<T>,
): Promise<T> {
  const temporary = await context.cache.makeTemporary();
  const stop = new AbortController();
  const stopAll = (): void => stop.abort();
  signal?.addEventListener("abort", stopAll);
  if (signal?.aborted === true) stopAll();
  try {
    return await work(createRun(context, { plan, report, stop, temporary }));
  } finally {
    signal?.removeEventListener("abort", stopAll);
    await removeTree(temporary);
  }
}

interface RunState {
  readonly plan: Plan;
  readonly report: RunOptions["report"];
  readonly stop: AbortController;
  readonly temporary: string;
}

function createRun(context: RunContext, { plan, report, stop, temporary }: RunState): Run {
  const { cache, fetcher } = context;
  const results = createResults(cache);
  const { pathOf } = results;
  const { signal } = stop;
  const fetches = createFetches({ cache, fetcher, report, signal, temporary });
  const materializer = createMaterializer({ ...context, plan, temporary, pathOf, ensureFetched: fetches.ensure });
  const makeStep = createStepMaker({ ...context, plan, report, signal, temporary, pathOf, materializer, fetches });
  return {
    temporary,
    materializer,
    pathOf,
    async build(targets) {
      const steps = neededSteps(plan, targets);
      report({ type: "plan", steps: steps.length, time: new Date().toISOString() });
      const tasks = new Map<string, Promise<void>>();
      for (const step of steps) {
        const needs = Promise.all(dependenciesOf(step).map((id) => tasks.get(id)));
        const make = async () =>
          results.add(await makeStep(resolveStep(plan, step, results.outputOf, SANDBOX, context.hostTools)));
        tasks.set(step.id, needs.then(make));
      }
      await firstFailure([...tasks.values()], () => stop.abort());
      return { records: steps.map(({ id }) => results.recordOf(id)), pathOf };
    },
  };
}

/** What has been made so far. */
interface Results {
  add(record: StepRecord): void;
  /** @throws EngineError PLAN_INVALID */
  recordOf(id: string): StepRecord;
  outputOf(ref: OutputRef): OutputRecord;
  pathOf(ref: OutputRef): string;
}

function createResults(cache: Cache): Results {
  const records = new Map<string, StepRecord>();
  const recordOf = (id: string): StepRecord => {
    const record = records.get(id);
    if (record === undefined) throw new EngineError("PLAN_INVALID", { expected: `step ${id} to be built`, actual: "it was not" });
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
  return { add: (record) => void records.set(record.id, record), recordOf, outputOf, pathOf };
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
