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

/** Incidents are never changed, only replaced: the text of one holds as long as it is there. In bytes, which lie outside the small heap. */
const texts = new WeakMap<Incident, Buffer>();

function textOf(incident: Incident): Buffer {
  const known = texts.get(incident);
  if (known !== undefined) return known;
  const made = Buffer.from(`,${JSON.stringify(incident)}`);
  texts.set(incident, made);
  return made;
}

const [OPEN, CLOSE] = [Buffer.from("["), Buffer.from("]")];

let last: { readonly incidents: readonly Incident[]; readonly bytes: Buffer } | undefined;

/** The JSON of a list, UTF-8, put together from the text of each, which is made once. Whoever looks again at what has not changed gets the same bytes. */
export function listBytes(incidents: readonly Incident[]): Uint8Array {
  if (last !== undefined && isSame(last.incidents, incidents)) return last.bytes;
  const [first, ...others] = incidents.map(textOf);
  const bytes = Buffer.concat([OPEN, ...(first === undefined ? [] : [first.subarray(1)]), ...others, CLOSE]);
  last = { incidents, bytes };
  return bytes;
}

function isSame(one: readonly Incident[], other: readonly Incident[]): boolean {
  return one.length === other.length && one.every((incident, index) => incident === other[index]);
}
