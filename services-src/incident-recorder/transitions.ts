import type { IncidentState } from "@secai/kit/api/incidents";
import { RecorderError } from "./errors.ts";

/** What can happen to an incident. */
export const happenings = ["contained", "containment_failed", "reopened", "resolved", "acknowledged"] as const;
export type Happening = (typeof happenings)[number];

// Everything that is not here is refused. "reopened": an escalation asks for more containment, or the fault is reported again after what
// was closed for it had been opened.
const table: Readonly<Record<IncidentState, Readonly<Partial<Record<Happening, IncidentState>>>>> = {
  open: { contained: "contained", containment_failed: "containment_failed", reopened: "open", resolved: "resolved" },
  contained: { reopened: "open", resolved: "resolved" },
  containment_failed: {
    contained: "contained",
    containment_failed: "containment_failed",
    reopened: "open",
    resolved: "resolved",
  },
  resolved: { acknowledged: "acknowledged" },
  acknowledged: {},
};

/** @throws RecorderError INCIDENT_TRANSITION */
export function nextState(state: IncidentState, happening: Happening): IncidentState {
  const next = table[state][happening];
  if (next === undefined)
    throw new RecorderError("INCIDENT_TRANSITION", { expected: `a state that can become ${happening}`, actual: state });
  return next;
}

/** Whether somebody still has to do something about it: such an incident is never given up. */
export const isUnresolved = (state: IncidentState): boolean => state !== "resolved" && state !== "acknowledged";
