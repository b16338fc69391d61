import type { IncidentReport, Severity } from "@secai/kit/api/incidents";
import { sha256 } from "@secai/kit/digest";
import type { EscalationWindows } from "./escalation.ts";
import { buildStored, fingerprintOf } from "./incident.ts";
import { actionsFor, type ContainmentPolicy, rank, wantedEvents, worse } from "./policy.ts";
import { type Change, type Event, identityOf, type State, type Stored, withChange } from "./state.ts";
import type { Outcome } from "./store/store.ts";
import { isUnresolved, nextState } from "./transitions.ts";

export interface Limits {
  /** Incidents in all. Larger than what all reporters together can leave unresolved, so there is always one to give up. */
  readonly incidents: number;
  /** Unresolved incidents of one reporter: none takes another's room. */
  readonly unresolvedOfOne: number;
  /** Bytes of evidence kept of one reporter's incidents. */
  readonly evidenceOfOne: number;
}

export const limits: Limits = { incidents: 5000, unresolvedOfOne: 500, evidenceOfOne: 1 << 20 };

export interface Taken {
  /** "repeated": this very report was taken before. "overflowed": only counted, its text must come again. */
  readonly outcome: "created" | "counted" | "repeated" | "overflowed";
  readonly stored: Stored;
  /** Containment has something to do that it did not have before. */
  readonly wake: boolean;
  readonly escalated: boolean;
  readonly reopened: boolean;
  /** Incidents that were given up to make room. */
  readonly evicted: readonly string[];
}

export interface IntakeParts {
  readonly policy: ContainmentPolicy;
  readonly windows: EscalationWindows;
  readonly limits: Limits;
  readonly nowMs: number;
  readonly monotonicMs: number;
}

const nothingNew = { wake: false, escalated: false, reopened: false, evicted: [] } as const;

/** What becomes of a report. Pure but for the escalation windows, which count it unless it was counted before. */
export function takeReport(state: State, report: IncidentReport, parts: IntakeParts): Outcome<Taken> {
  const before = report.idempotency_key === undefined ? undefined : state.remembered(report.source, report.idempotency_key);
  const known = before === undefined ? undefined : state.incidents.get(before.id);
  if (before?.refused === false && known !== undefined)
    return { events: [], result: { ...nothingNew, outcome: "repeated", stored: known } };
  const { policy, windows } = parts;
  const asked = before === undefined ? windows.add(report.class, policy.escalation[report.class], parts.monotonicMs) : undefined;
  const standing = state.standing(identityOf({ ...report, fingerprint: fingerprintOf(report) }));
  if (standing !== undefined) return remembering(report, countOn(standing, report, asked, parts), false);
  if (state.usage(report.source).unresolved >= parts.limits.unresolvedOfOne)
    return before !== undefined && known !== undefined
      ? { events: [], result: { ...nothingNew, outcome: "overflowed", stored: known } }
      : remembering(report, overflow(state, report, asked, parts), true);
  return remembering(report, create(state, report, asked, parts, false), false);
}

/** The idempotency key is on the disk with what it stands for. */
function remembering(
  { source, idempotency_key: key }: IncidentReport,
  { events, result }: Outcome<Taken>,
  refused: boolean,
): Outcome<Taken> {
  if (key === undefined) return { events, result };
  return {
    events: [...events, { type: "remembered", remembered: { source, key, id: result.stored.incident.id, refused } }],
    result,
  };
}

function create(
  state: State,
  report: IncidentReport,
  asked: Severity | undefined,
  parts: IntakeParts,
  isOverflow: boolean,
): Outcome<Taken> {
  const { policy, nowMs } = parts;
  const own = worse(policy.classes[report.class].severity, report.severity ?? "low");
  const severity = worse(own, asked ?? "low");
  const evicted = evictions(state, report, parts);
  const { evidenceBytes } = state.usage(report.source);
  const freed = evicted.reduce((sum, id) => sum + bytesOfOne(state, id, report.source), 0);
  const stored = buildStored(policy, {
    report,
    number: state.created() + 1,
    severity,
    escalated: rank(severity) > rank(own),
    evidenceRoom: parts.limits.evidenceOfOne - evidenceBytes + freed,
    overflow: isOverflow,
    nowMs,
  });
  const events: Event[] = [
    ...(evicted.length === 0 ? [] : [{ type: "evicted", ids: evicted } as const]),
    { type: "created", stored },
  ];
  const { escalated } = stored.incident;
  return { events, result: { outcome: "created", stored, wake: true, escalated, reopened: false, evicted } };
}

/** Resolved incidents that go, oldest first: one if the store is full, more if the evidence would not fit. Never an unresolved one. */
function evictions(state: State, { source, evidence }: IncidentReport, { limits: most }: IntakeParts): readonly string[] {
  const wanted = evidence === undefined ? 0 : JSON.stringify(evidence).length;
  let excess = state.usage(source).evidenceBytes + wanted - most.evidenceOfOne;
  let surplus = state.incidents.size + 1 - most.incidents;
  if (excess <= 0 && surplus <= 0) return [];
  const evicted: string[] = [];
  for (const { incident, evidenceBytes } of state.incidents.values()) {
    if (isUnresolved(incident.state)) continue;
    const frees = incident.source === source && evidenceBytes > 2;
    if (surplus <= 0 && !(excess > 0 && frees)) continue;
    evicted.push(incident.id);
    surplus -= 1;
    if (frees) excess -= evidenceBytes;
    if (surplus <= 0 && excess <= 0) break;
  }
  return evicted;
}

function bytesOfOne(state: State, id: string, source: string): number {
  const stored = state.incidents.get(id);
  return stored?.incident.source === source ? stored.evidenceBytes : 0;
}

/** One incident stands for all reports of a class that found no room: it is contained like any, and counts. */
function overflow(state: State, report: IncidentReport, asked: Severity | undefined, parts: IntakeParts): Outcome<Taken> {
  const stand: IncidentReport = {
    class: report.class,
    source: report.source,
    description: "more reports of this class than are kept one by one",
    ...(report.severity === undefined ? {} : { severity: report.severity }),
    fingerprint: sha256(`overflow ${report.class} ${report.source}`),
  };
  const standing = state.standing(identityOf({ ...stand, fingerprint: fingerprintOf(stand) }));
  const { events, result } =
    standing === undefined ? create(state, stand, asked, parts, true) : countOn(standing, stand, asked, parts);
  return { events, result: { ...result, outcome: "overflowed" } };
}

/** The fault is known: it counts on, may get worse, and closes again what a recovery has opened meanwhile. */
function countOn(standing: Stored, report: IncidentReport, asked: Severity | undefined, parts: IntakeParts): Outcome<Taken> {
  const { incident } = standing;
  const reported = worse(incident.severity, report.severity ?? "low");
  const severity = worse(reported, asked ?? "low");
  const escalated = rank(severity) > rank(reported);
  const wanted = actionsFor(parts.policy, incident.class, severity).filter(
    (action) => !incident.containment_actions.includes(action),
  );
  const reopened = standing.recovery?.releasing === true;
  const more = reopened || (severity !== incident.severity && wanted.length > 0);
  const change: Change = {
    incident: {
      count: incident.count + 1,
      last_seen_at: new Date(parts.nowMs).toISOString(),
      ...(severity === incident.severity ? {} : { severity }),
      ...(escalated ? { escalated } : {}),
      ...(more
        ? { state: nextState(incident.state, "reopened"), containment_actions: [...incident.containment_actions, ...wanted] }
        : {}),
      ...(reopened ? { containment_results: [] } : {}),
    },
    ...(more || severity !== incident.severity ? { recovery: null } : {}),
    ...(escalated ? { unannounced: wantedEvents(parts.policy, "escalated") } : {}),
  };
  return {
    events: [{ type: "changed", id: incident.id, change }],
    result: { ...nothingNew, outcome: "counted", stored: withChange(standing, change), wake: more, escalated, reopened },
  };
}
