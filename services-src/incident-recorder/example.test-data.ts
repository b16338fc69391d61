import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { IncidentReport } from "@secai/kit/api/incidents";
import { createWindows } from "./escalation.ts";
import { type IntakeParts, limits, type Taken, takeReport } from "./intake.ts";
import { parseContainment } from "./policy.ts";
import type { Change, State, Stored } from "./state.ts";

export const policy = parseContainment(
  readFileSync(join(import.meta.dirname, "../../image/common/etc/secure-ai/policy/incident-containment.yaml")),
);

export const startMs = Date.UTC(2026, 0, 1);

export function intakeParts(more: Partial<IntakeParts> = {}): IntakeParts {
  return { policy, windows: createWindows(), limits, nowMs: startMs, monotonicMs: 0, ...more };
}

/** Takes a report into the state, as the store does. */
export function take(state: State, parts: IntakeParts, report: Partial<IncidentReport>): Taken {
  const whole: IncidentReport = { class: "integrity_violation", source: "integrity-monitor", description: "x", ...report };
  const { events, result } = takeReport(state, whole, parts);
  for (const event of events) state.apply(event);
  return result;
}

export function apply(state: State, id: string, change: Change): Stored {
  state.apply({ type: "changed", id, change });
  const stored = state.incidents.get(id);
  if (stored === undefined) throw new Error(`no ${id}`);
  return stored;
}
