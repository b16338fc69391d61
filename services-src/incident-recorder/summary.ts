import { type Incident, type IncidentClass, incidentClasses, type Severity, severities } from "@secai/kit/api/incidents";
import type { Store } from "./store/store.ts";
import { isUnresolved } from "./transitions.ts";

export interface Summary {
  readonly total: number;
  readonly open: number;
  readonly contained: number;
  readonly containmentFailed: number;
  readonly resolved: number;
  readonly latched: number;
  readonly overflow: number;
  readonly byClass: Readonly<Record<IncidentClass, number>>;
  readonly openBySeverity: Readonly<Record<Severity, number>>;
}

/** "Open" counts everything that somebody still has to do something about. */
export function summarise({ incidents }: Store["state"]): Summary {
  const all = [...incidents.values()].map(({ incident }) => incident);
  const unresolved = all.filter(({ state }) => isUnresolved(state));
  const inState = (state: Incident["state"]): number => all.filter((incident) => incident.state === state).length;
  return {
    total: all.length,
    open: unresolved.length,
    contained: inState("contained"),
    containmentFailed: inState("containment_failed"),
    resolved: inState("resolved"),
    latched: unresolved.filter(({ latched }) => latched).length,
    overflow: [...incidents.values()].reduce((sum, { overflow, incident }) => sum + (overflow ? incident.count : 0), 0),
    byClass: countBy(incidentClasses, all, (incident) => incident.class),
    openBySeverity: countBy(severities, unresolved, ({ severity }) => severity),
  };
}

function countBy<W extends string>(
  words: readonly W[],
  incidents: readonly Incident[],
  of: (incident: Incident) => W,
): Readonly<Record<W, number>> {
  const counts = Object.fromEntries(words.map((word) => [word, 0])) as Record<W, number>;
  for (const incident of incidents) counts[of(incident)] += 1;
  return counts;
}
