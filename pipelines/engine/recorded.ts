import type { OutputRef, Plan, StepRecord } from "../step.ts";
import type { Cache } from "./cache.ts";
import { dependenciesOf } from "./check-plan.ts";
import { EngineError } from "./errors.ts";
import { neededSteps, resolveStep } from "./resolve.ts";
import { SANDBOX } from "./run.ts";
import type { TimedStep } from "./simulate.ts";

export interface Recorded {
  /** In plan order. */
  readonly records: readonly StepRecord[];
  /** Steps that never ran with their present inputs, or need such a step. */
  readonly missing: readonly string[];
}

/**
 * The cached records of a plan's steps, without running anything.
 * @throws EngineError STEP_NOT_RECORDED when there is none at all, PLAN_INVALID
 */
export async function recordedSteps(plan: Plan, cache: Cache): Promise<Recorded> {
  const missing: string[] = [];
  const records = new Map<string, StepRecord>();
  const lookup = ({ step, output }: OutputRef) => {
    const found = records.get(step)?.outputs[output];
    if (found === undefined)
      throw new EngineError("PLAN_INVALID", { expected: `output ${output} of step ${step}`, actual: "none" });
    return found;
  };
  for (const step of neededSteps(
    plan,
    Object.values(plan.outputs).map((ref) => ref.step),
  )) {
    const known = dependenciesOf(step).every((id) => records.has(id));
    const record = known ? await cache.lookup(resolveStep(plan, step, lookup, SANDBOX).key) : undefined;
    if (record === undefined) missing.push(step.id);
    else records.set(step.id, { ...record, id: step.id, step });
  }
  if (records.size === 0)
    throw new EngineError("STEP_NOT_RECORDED", { expected: "a record of at least one step", actual: "none" });
  return { records: [...records.values()], missing };
}

/** How long each step took when it really ran. */
export function timedSteps(records: readonly StepRecord[]): TimedStep[] {
  return records.map(({ id, step, startedOn, finishedOn }) => ({
    id,
    needs: dependenciesOf(step),
    durationMs: Date.parse(finishedOn) - Date.parse(startedOn),
    needsWorker: step.kind === "exec",
  }));
}
