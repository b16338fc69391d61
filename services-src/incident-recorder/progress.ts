import type { ContainmentAction, ContainmentResult, Incident } from "@secai/kit/api/incidents";
import { validRecovery } from "./recovery.ts";
import type { Change, Stored } from "./state.ts";
import { isUnresolved, nextState } from "./transitions.ts";

/** What an attempt came to. */
export interface Attempt {
  readonly success: boolean;
  /** Absent on success. */
  readonly error?: string;
  /** Something may be closed now. */
  readonly reached: boolean;
  /** Trying again cannot help. */
  readonly final: boolean;
}

const FINAL = /^MODEL_UNKNOWN/;

const isDone = ({ success, error }: ContainmentResult): boolean => success || FINAL.test(error ?? "");

/** The actions that still have to be tried. */
export function pendingActions({ containment_actions, containment_results }: Incident): readonly ContainmentAction[] {
  return containment_actions.filter(
    (action) => !containment_results.some((result) => result.action === action && isDone(result)),
  );
}

/** What is to be done about an incident now. A recovery that opens the targets ends all attempts to close them. */
export function jobOf(stored: Stored): "contain" | "release" | undefined {
  const { incident } = stored;
  if (!isUnresolved(incident.state)) return undefined;
  const recovery = validRecovery(stored);
  if (recovery?.releasing === true) return recovery.released_at === undefined ? "release" : undefined;
  if (incident.containment_actions.length === 0 || incident.state === "contained") return undefined;
  return incident.state === "open" || pendingActions(incident).length > 0 ? "contain" : undefined;
}

/** The attempt in the incident's results. Empty if it says nothing that is worth a write: vain attempts are noted at each doubling. */
export function withAttempt(stored: Stored, action: ContainmentAction, attempt: Attempt, attempts: number, now: string): Change {
  const { incident, reached } = stored;
  const before = incident.containment_results.find((result) => result.action === action);
  const isSame = before?.success === attempt.success && before.error === attempt.error;
  const newlyReached = attempt.reached && !reached.includes(action);
  if (isSame && !newlyReached && !Number.isInteger(Math.log2(attempts))) return {};
  const result: ContainmentResult = {
    action,
    success: attempt.success,
    ...(attempt.error === undefined ? {} : { error: attempt.error }),
    attempts,
    // Since when it is so: another attempt with the same end does not make it newer.
    completed_at: before?.success === attempt.success ? before.completed_at : now,
  };
  const results = incident.containment_actions.flatMap((each) =>
    each === action ? [result] : incident.containment_results.filter((other) => other.action === each),
  );
  return { incident: { containment_results: results }, ...(newlyReached ? { reached: [...reached, action] } : {}) };
}

/** Contained, or failed, once every action has a result. */
export function withSettledState({ incident }: Stored): Change {
  const { containment_actions: actions, containment_results: results, state } = incident;
  if (results.length < actions.length || (state !== "open" && state !== "containment_failed")) return {};
  const next = nextState(state, results.every(({ success }) => success) ? "contained" : "containment_failed");
  return next === state ? {} : { incident: { state: next } };
}
