import type { Incident, IncidentQuery } from "@secai/kit/api/incidents";
import { rank } from "./policy.ts";
import type { Store } from "./store/store.ts";

/** Incidents in a list that says nothing else. */
const DEFAULT_LIST = 1000;

/** Worst first, then newest first; "newest" by number, not by a clock that may be set. */
export function listIncidents({ incidents }: Store["state"], query: IncidentQuery): readonly Incident[] {
  const { class: name, state: wanted, severity, limit = DEFAULT_LIST } = query;
  const matching: { readonly incident: Incident; readonly rank: number; readonly number: number }[] = [];
  for (const { incident } of incidents.values()) {
    const isWanted =
      (name === undefined || incident.class === name) &&
      (wanted === undefined || incident.state === wanted) &&
      (severity === undefined || incident.severity === severity);
    if (isWanted) matching.push({ incident, rank: rank(incident.severity), number: numberOf(incident.id) });
  }
  matching.sort((a, b) => b.rank - a.rank || b.number - a.number);
  return matching.slice(0, limit).map(({ incident }) => incident);
}

const numberOf = (id: string): number => Number(id.slice(id.lastIndexOf("-") + 1));

/** Incidents are never changed, only replaced: the text of one holds as long as it is there. */
const texts = new WeakMap<Incident, string>();

function textOf(incident: Incident): string {
  const known = texts.get(incident) ?? JSON.stringify(incident);
  texts.set(incident, known);
  return known;
}

/** The JSON of a list, put together from the text of each, which is made once. */
export function listText(incidents: readonly Incident[]): string {
  return `[${incidents.map(textOf).join(",")}]`;
}
