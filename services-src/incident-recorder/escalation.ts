import type { IncidentClass, Severity } from "@secai/kit/api/incidents";
import type { Clock } from "@secai/kit/sources";
import type { EscalationRule } from "./policy-schema.ts";
import type { State } from "./state.ts";

/** Counts reports by class in sliding windows. Monotonic time: setting the clock neither hides nor makes a burst. */
export interface EscalationWindows {
  /** Counts a report and says what severity it asks for, if the window is full with it. */
  add(name: IncidentClass, rule: EscalationRule | undefined, nowMs: number): Severity | undefined;
}

type Windows = Map<IncidentClass, readonly number[]>;

/**
 * What is in the windows at a start, as far as incidents tell: when each was reported first and last. Only wall clocks reach over a restart;
 * what seems to lie in the future, because the clock was set back, was now.
 */
export function seenBefore(
  { incidents }: Pick<State, "incidents">,
  rules: Readonly<Partial<Record<IncidentClass, EscalationRule>>>,
  clock: Clock,
): Windows {
  const [nowMs, wallMs] = [clock.monotonicMs(), clock.nowMs()];
  const windows = new Map<IncidentClass, number[]>();
  for (const { incident } of incidents.values()) {
    const rule = rules[incident.class];
    if (rule === undefined) continue;
    const window = windows.get(incident.class) ?? [];
    windows.set(incident.class, window);
    for (const at of incident.count > 1 ? [incident.created_at, incident.last_seen_at] : [incident.created_at]) {
      const ageMs = Math.max(0, wallMs - Date.parse(at));
      if (ageMs < rule.within_seconds * 1000) window.push(nowMs - ageMs);
    }
  }
  for (const window of windows.values()) window.sort((a, b) => a - b);
  return windows;
}

/** A window holds as many instants as its rule asks for, and no more. */
export function createWindows(windows: Windows = new Map()): EscalationWindows {
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
