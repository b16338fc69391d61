import { type Incident, type IncidentQuery, type IncidentReport, type Requirement, reporters } from "@secai/kit/api/incidents";
import type { AuditLog } from "@secai/kit/audit";
import { canonicalJson, type JsonValue, sha256 } from "@secai/kit/digest";
import type { Log } from "@secai/kit/log";
import type { Exchange } from "@secai/kit/route";
import type { Clock } from "@secai/kit/sources";
import { createAnnouncer } from "./announcer.ts";
import type { Attestor } from "./attestation.ts";
import { RecorderError } from "./errors.ts";
import { createWindows, seenBefore } from "./escalation.ts";
import { type Limits, type Taken, takeReport } from "./intake.ts";
import { listIncidents } from "./listing.ts";
import { type ContainmentPolicy, wantedEvents } from "./policy.ts";
import { acknowledgeRecovery, attestRecovery, bindingOf, isRecovered, needsOf, requirementOf, requireStep } from "./recovery.ts";
import { createRefusals, type Refusals } from "./refusals.ts";
import { type Event, type Stored, withChange } from "./state.ts";
import type { Outcome, Store } from "./store/store.ts";
import type { Targets } from "./targets.ts";
import { isUnresolved, nextState } from "./transitions.ts";
import type { Webhooks } from "./webhooks.ts";
import { createWorkers, type Progress } from "./workers.ts";

export interface RecorderParts {
  readonly policy: ContainmentPolicy;
  readonly store: Store;
  readonly audit: Pick<AuditLog, "append">;
  readonly attestor: Attestor;
  readonly targets: Targets;
  readonly webhooks: Webhooks;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly retryMs?: { readonly first: number; readonly last: number };
}

/** Every change is on the disk and on record when these resolve; containment and release go on behind them. */
export interface Recorder {
  /** @throws RecorderError REPORTER_SOURCE, REPORTER_CLASS, STORE_FULL, STORE_UNAVAILABLE; KitError AUDIT_UNAVAILABLE */
  report(report: IncidentReport, exchange: Exchange): Promise<Taken>;
  list(query: IncidentQuery): readonly Incident[];
  /** @throws RecorderError INCIDENT_UNKNOWN */
  get(id: string): Incident;
  /** @throws RecorderError INCIDENT_UNKNOWN, INCIDENT_TRANSITION, RECOVERY_REQUIRED */
  resolve(id: string, exchange: Exchange): Promise<Incident>;
  /** @throws RecorderError INCIDENT_UNKNOWN, INCIDENT_TRANSITION */
  acknowledge(id: string, exchange: Exchange): Promise<Incident>;
  /** @throws RecorderError INCIDENT_UNKNOWN, RECOVERY_UNNEEDED, RECOVERY_BUSY */
  ack(id: string, operator: string, exchange: Exchange): Promise<Requirement>;
  /** @throws RecorderError INCIDENT_UNKNOWN, RECOVERY_UNNEEDED, RECOVERY_BUSY, RECOVERY_REFUSED, ATTESTOR_UNAVAILABLE */
  reattest(id: string, exchange: Exchange): Promise<Requirement>;
  /** Unresolved incidents that ask for a ceremony. */
  pending(): readonly Requirement[];
  policy(): ContainmentPolicy;
  replacePolicy(policy: ContainmentPolicy, exchange: Exchange): Promise<void>;
  /** Takes up what the last end of the process left unfinished. */
  resume(): void;
  close(): Promise<void>;
}

export function createRecorder(parts: RecorderParts): Recorder {
  const { store, audit, clock } = parts;
  const windows = createWindows(seenBefore(store.state, parts.policy.escalation, clock));
  let policy = parts.policy;
  const refusals = createRefusals(parts);
  const announcer = createAnnouncer({ ...parts, policy: () => policy });
  const workers = createWorkers({
    ...parts,
    record: (progress) => audit.append(`containment_${progress.type}`, progressRecord(progress)),
    done: (id) => announcer.poke(id),
    wanted: (event) => wantedEvents(policy, event),
  });
  const now = (): string => new Date(clock.nowMs()).toISOString();

  /** Changes one incident by what a person asked for; refusals are on record like changes. */
  async function change(
    id: string,
    type: string,
    exchange: Exchange,
    decide: (stored: Stored) => Outcome<Stored>,
    more: Fields = {},
  ): Promise<Stored> {
    const caller = exchange.caller ?? "-";
    const about = { id, request_id: exchange.requestId, ...more };
    try {
      return await store.transact(
        ({ incidents }) => decide(incidents.get(id) ?? unknown(id)),
        ({ incident }) => audit.append(type, { ...about, caller, outcome: "accepted", state: incident.state }),
      );
    } catch (error) {
      if (error instanceof RecorderError && error.code !== "STORE_UNAVAILABLE")
        await refusals.record(type, caller, { ...about, outcome: "refused", code: error.code });
      throw error;
    }
  }

  return {
    async report(report, exchange) {
      await requireOwn(report, exchange, refusals);
      const taken = await store.transact(
        (state) =>
          takeReport(state, report, {
            policy,
            windows,
            limits: parts.limits,
            nowMs: clock.nowMs(),
            monotonicMs: clock.monotonicMs(),
          }),
        (result) => recordTaken(audit, result, exchange),
      );
      const { incident } = taken.stored;
      if (taken.wake) workers.poke(incident.id);
      announcer.poke(incident.id);
      return taken;
    },
    list: (query) => listIncidents(store.state, query),
    get: (id) => (store.state.incidents.get(id) ?? unknown(id)).incident,
    async resolve(id, exchange) {
      const { incident } = await change(id, "incident_resolve", exchange, (stored) => {
        const state = nextState(stored.incident.state, "resolved");
        if (!isRecovered(stored)) throw new RecorderError("RECOVERY_REQUIRED", missingStep(stored));
        return changed(stored, { incident: { state, resolved_at: now() } });
      });
      return incident;
    },
    async acknowledge(id, exchange) {
      const { incident } = await change(id, "incident_acknowledge", exchange, (stored) => {
        return changed(stored, { incident: { state: nextState(stored.incident.state, "acknowledged"), acknowledged_at: now() } });
      });
      return incident;
    },
    async ack(id, operator, exchange) {
      const decide = (stored: Stored): Outcome<Stored> => changed(stored, acknowledgeRecovery(stored, operator, now()));
      const stored = await change(id, "recovery_ack", exchange, decide, { operator });
      workers.poke(id);
      return requirementOf(stored);
    },
    async reattest(id, exchange) {
      const { stored, accepted } = await attestFor({ ...parts, refusals }, id, exchange);
      const binding = bindingOf(stored.incident);
      const hardware: readonly Event[] =
        accepted.assurance === "hardware" && !store.state.hardware() ? [{ type: "hardware" }] : [];
      const next = await change(
        id,
        "recovery_reattest",
        exchange,
        (current) => {
          const { events, result } = changed(current, attestRecovery(current, binding, accepted, now()));
          return { events: [...hardware, ...events], result };
        },
        { ...accepted },
      );
      workers.poke(id);
      return requirementOf(next);
    },
    pending: () =>
      [...store.state.incidents.values()]
        .filter((stored) => isUnresolved(stored.incident.state) && needsOf(stored).ack)
        .map(requirementOf),
    policy: () => policy,
    async replacePolicy(next, { requestId }) {
      await audit.append("policy_replaced", { from: policy.digest, to: next.digest, request_id: requestId });
      policy = next;
    },
    resume() {
      workers.resume();
      announcer.resume();
    },
    async close() {
      await workers.close();
      await announcer.close();
      refusals.close();
      await refusals.summarise();
    },
  };
}

type Fields = { readonly [key: string]: JsonValue };

function changed(stored: Stored, change: Parameters<typeof withChange>[1]): Outcome<Stored> {
  const isEmpty = Object.keys(change).length === 0;
  return { events: isEmpty ? [] : [{ type: "changed", id: stored.incident.id, change }], result: withChange(stored, change) };
}

/** A credential speaks for one reporter, and that one only of what it can know. @throws RecorderError REPORTER_SOURCE, REPORTER_CLASS */
async function requireOwn({ class: name, source }: IncidentReport, exchange: Exchange, refusals: Refusals): Promise<void> {
  const reporter = Object.entries(reporters).find(([each]) => exchange.caller === `reporter.${each}`);
  const isOwn = reporter?.[0] === source;
  if (isOwn && reporter[1].some((allowed) => allowed === name)) return;
  const code = isOwn ? "REPORTER_CLASS" : "REPORTER_SOURCE";
  const about = { code, source, class: name, request_id: exchange.requestId };
  await refusals.record("report_refused", exchange.caller ?? "-", about);
  throw new RecorderError(code, { expected: `a report of ${exchange.caller}`, actual: `${name} of ${source}` });
}

/** Counting on is no change that is worth a record each time; an overflow is one at every doubling. */
async function recordTaken(audit: RecorderParts["audit"], taken: Taken, { requestId }: Exchange): Promise<void> {
  const { incident, overflow } = taken.stored;
  const noteworthy =
    taken.outcome === "created" || taken.escalated || taken.wake || (overflow && Number.isInteger(Math.log2(incident.count)));
  if (!noteworthy || taken.outcome === "repeated") return;
  await audit.append(`incident_${taken.reopened ? "reopened" : taken.escalated ? "escalated" : taken.outcome}`, {
    id: incident.id,
    class: incident.class,
    severity: incident.severity,
    source: incident.source,
    description: incident.description,
    fingerprint: incident.fingerprint,
    count: incident.count,
    evidence_sha256: sha256(canonicalJson(incident.evidence)),
    evicted: taken.evicted.slice(0, 64),
    request_id: requestId,
  });
}

function progressRecord(progress: Progress): Fields {
  const { incident } = progress.next;
  const what = { id: incident.id, state: incident.state };
  if (progress.type === "released") return { ...what, target: progress.target };
  if (progress.type !== "attempt") return what;
  const result = incident.containment_results.find(({ action }) => action === progress.action);
  return {
    ...what,
    action: progress.action,
    success: result?.success ?? false,
    error: result?.error ?? "",
    attempts: result?.attempts ?? 0,
  };
}

function unknown(id: string): never {
  throw new RecorderError("INCIDENT_UNKNOWN", { expected: "an incident of ours", actual: id });
}

function missingStep(stored: Stored): { expected: string; actual: string } {
  const { acked_at, re_attested_at, require_reattest, held_targets } = requirementOf(stored);
  const missing = [
    ...(acked_at === undefined ? ["an acknowledgement"] : []),
    ...(require_reattest && re_attested_at === undefined ? ["a re-attestation"] : []),
    ...held_targets.map((target) => `the release of ${target}`),
  ];
  return { expected: "a complete recovery", actual: `none: ${missing.join(", ")}` };
}

/** Asks the attestor only for an incident that wants it; what it says against the machine is on record. */
async function attestFor(
  { store, attestor, refusals }: RecorderParts & { readonly refusals: Refusals },
  id: string,
  { caller = "-", requestId, signal }: Exchange,
) {
  const stored = store.state.incidents.get(id) ?? unknown(id);
  requireStep(stored, needsOf(stored).reattest);
  try {
    return { stored, accepted: await attestor.attest({ requireHardware: store.state.hardware(), signal }) };
  } catch (error) {
    if (error instanceof RecorderError)
      await refusals.record("recovery_reattest", caller, {
        id,
        outcome: "refused",
        code: error.code,
        why: error.message.slice(0, 512),
        request_id: requestId,
      });
    throw error;
  }
}
