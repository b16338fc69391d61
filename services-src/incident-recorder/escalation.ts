import type { IncidentClass, Severity } from "@secai/kit/api/incidents";
import type { EscalationRule } from "./policy-schema.ts";

/** Counts reports by class in sliding windows. Monotonic time: setting the clock neither hides nor makes a burst. */
export interface EscalationWindows {
  /** Counts a report and says what severity it asks for, if the window is full with it. */
  add(name: IncidentClass, rule: EscalationRule | undefined, nowMs: number): Severity | undefined;
}

/** Windows begin empty. A window holds as many instants as its rule asks for, and no more. */
export function createWindows(): EscalationWindows {
  const windows = new Map<IncidentClass, number[]>();
  return {
    add(name, rule, nowMs) {
      if (rule === undefined) return undefined;
      const window = [...(windows.get(name) ?? []), nowMs]
        .filter((at) => nowMs - at < rule.within_seconds * 1000)
        .slice(-rule.reports);
      windows.set(name, window);
      return window.length >= rule.reports ? rule.to : undefined;
    },
  };
}
