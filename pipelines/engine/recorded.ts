import type { OutputRef, Plan, StepRecord } from "../step.ts";
import type { Cache } from "./cache.ts";
import { dependenciesOf } from "./check-plan.ts";
import { EngineError } from "./errors.ts";
import { neededSteps, resolveStep } from "./resolve.ts";
import { SANDBOX } from "./run.ts";
import type { TimedStep } from "./simulate.ts";

/**
 * The cached record of every step of a plan, in plan order, without running anything.
 * @throws EngineError STEP_NOT_RECORDED for the first step that has none, PLAN_INVALID
 */
export async function recordedSteps(plan: Plan, cache: Cache): Promise<StepRecord[]> {
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
    const record = await cache.lookup(resolveStep(plan, step, lookup, SANDBOX).key);
    if (record === undefined)
      throw new EngineError("STEP_NOT_RECORDED", { expected: `a record of step ${step.id}`, actual: "none" });
    records.set(step.id, { ...record, id: step.id, step });
  }
  return [...records.values()];
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
