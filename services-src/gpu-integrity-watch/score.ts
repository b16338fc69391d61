import type { GpuVerdict } from "@secai/kit/api/gpu-integrity";
import type { ProbeResult } from "./outcome.ts";
import type { ActionType, Profile, Trigger } from "./profile-schema.ts";

type Scored = Pick<ProbeResult, "status" | "score" | "weight">;

/** Weighted mean of what was judged; skipped probes say nothing. 0 where nothing was judged. */
export function compositeScore(results: readonly Scored[]): number {
  const judged = results.filter(({ status }) => status !== "skip");
  const weight = judged.reduce((sum, result) => sum + result.weight, 0);
  if (weight === 0) return 0;
  return judged.reduce((sum, result) => sum + result.score * result.weight, 0) / weight;
}

const CRITICAL = 0.9;
const WARNING = 0.3;

/**
 * One failure is critical whatever the mean; drift or an error is at least a warning, so that many probes that pass cannot drown one that
 * does not. A machine without a device is never healthy, and neither is one where nothing passed.
 */
export function verdictOf(results: readonly Scored[], hasDevice: boolean): GpuVerdict {
  const score = compositeScore(results);
  const has = (...statuses: ProbeResult["status"][]) => results.some(({ status }) => statuses.includes(status));
  if (has("fail") || score >= CRITICAL) return "critical";
  if (has("drift", "error") || score >= WARNING) return "warning";
  if (!hasDevice) return "no_device";
  return has("pass") ? "healthy" : "unknown";
}

const TREND_LENGTH = 10;

/** Mean of the newer half less mean of the older half of the last ten scores; 0 with fewer than two. Rising is worse. */
export function trendOf(scores: readonly number[]): number {
  const last = scores.slice(-TREND_LENGTH);
  const middle = Math.floor(last.length / 2);
  if (middle === 0) return 0;
  return mean(last.slice(middle)) - mean(last.slice(0, middle));
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

const RANK: Readonly<Record<GpuVerdict, number>> = { unknown: 0, no_device: 0, healthy: 0, warning: 1, critical: 2 };
const TRIGGER_RANK: Readonly<Record<Trigger, number>> = { warning: 1, critical: 2 };

export interface DueAction {
  readonly name: string;
  readonly type: ActionType;
}

/** Actions of the profile that a verdict sets off. */
export function dueActions(verdict: GpuVerdict, actions: Profile["actions"]): readonly DueAction[] {
  return actions.filter(({ trigger }) => RANK[verdict] >= TRIGGER_RANK[trigger]).map(({ name, type }) => ({ name, type }));
}
