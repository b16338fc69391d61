import type { IncidentQuery, IncidentRef, IncidentReport, RecoveryAck } from "@secai/kit/api/incidents";
import type { AuditLog } from "@secai/kit/audit";
import { errorReply } from "@secai/kit/http";
import { errorFields, type Log } from "@secai/kit/log";
import type { Metrics } from "@secai/kit/metrics";
import { type Endpoint, type Exchange, type Reply, type Route, route } from "@secai/kit/route";
import { endpoints } from "./api.ts";
import { RecorderError, recorderErrors } from "./errors.ts";
import { listBytes } from "./listing.ts";
import type { ContainmentPolicy } from "./policy.ts";
import type { Recorder } from "./recorder.ts";
import type { Store } from "./store/store.ts";
import { summarise } from "./summary.ts";

export interface RouteParts {
  readonly recorder: Recorder;
  readonly store: Store;
  readonly audit: Pick<AuditLog, "append" | "head" | "fault">;
  /** Reads the policy file as it is now. */
  readonly loadPolicy: () => Promise<ContainmentPolicy>;
  /** Everything, signed. */
  readonly exportForensic: (exchange: Exchange) => Promise<unknown>;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function recorderRoutes(parts: RouteParts): readonly Route[] {
  const { recorder, metrics } = parts;
  return [
    named(endpoints.health, async () => ok(health(parts))),
    named(endpoints.ready, async (_body, exchange) => readiness(parts, exchange)),
    named(endpoints.report, (body: IncidentReport, exchange) => report(parts, body, exchange)),
    named(endpoints.list, async () => ({ status: 200, jsonBytes: listBytes(recorder.list({})) })),
    named(endpoints.query, async (query: IncidentQuery) => ({ status: 200, jsonBytes: listBytes(recorder.list(query)) })),
    named(endpoints.get, async ({ id }: IncidentRef) => ok(recorder.get(id))),
    named(endpoints.stats, async () => ok(statistics(parts))),
    named(endpoints.resolve, async ({ id }: IncidentRef, exchange) => ok(await recorder.resolve(id, exchange))),
    named(endpoints.acknowledge, async ({ id }: IncidentRef, exchange) => ok(await recorder.acknowledge(id, exchange))),
    named(endpoints.reload, (_body, exchange) => reload(parts, exchange)),
    named(endpoints.ack, async ({ id, operator }: RecoveryAck, exchange) => ok(await recorder.ack(id, operator, exchange))),
    named(endpoints.reattest, async ({ id }: IncidentRef, exchange) => ok(await recorder.reattest(id, exchange))),
    named(endpoints.recovery, async () => {
      const pending = recorder.pending();
      return ok({ pending_recoveries: pending, count: pending.length });
    }),
    named(endpoints.forensic, async (_body, exchange) => ok(await parts.exportForensic(exchange))),
    named(endpoints.metrics, async () => ({ status: 200, text: metrics.render() })),
  ];
}

/** A route whose own refusals are answered by their names. */
function named<T>(endpoint: Endpoint<T>, handle: (body: T, exchange: Exchange) => Promise<Reply>): Route {
  return route(endpoint, async (body, exchange) => {
    try {
      return await handle(body, exchange);
    } catch (error) {
      if (!(error instanceof RecorderError) || error.status === undefined) throw error;
      const { meaning } = recorderErrors[error.code];
      return errorReply(
        error.status,
        error.code,
        error.actual === undefined ? meaning : `${meaning} (${error.actual})`,
        exchange,
      );
    }
  });
}

function ok(json: unknown): Reply {
  return { status: 200, json };
}

const faultOf = ({ store, audit }: RouteParts) => store.fault() ?? audit.fault();

function health(parts: RouteParts): Record<string, unknown> {
  const { open, total, containmentFailed, latched } = summarise(parts.store.state);
  const writable = faultOf(parts) === undefined;
  return {
    status: writable && containmentFailed === 0 ? "ok" : "degraded",
    open_incidents: open,
    total_incidents: total,
    containment_failed: containmentFailed,
    latched,
    writable,
  };
}

function readiness(parts: RouteParts, exchange: Exchange): Reply {
  const fault = faultOf(parts);
  return fault === undefined ? ok({ status: "ready" }) : errorReply(503, fault.code, "Incidents cannot be recorded.", exchange);
}

async function report({ recorder, metrics }: RouteParts, body: IncidentReport, exchange: Exchange): Promise<Reply> {
  const { outcome, stored } = await recorder.report(body, exchange);
  metrics.count("reports_total", { outcome });
  if (outcome === "overflowed")
    throw new RecorderError("STORE_FULL", { expected: "room for another incident", actual: `counted on ${stored.incident.id}` });
  return { status: outcome === "created" ? 201 : 200, json: stored.incident };
}

function statistics({ recorder, store, audit }: RouteParts): Record<string, unknown> {
  const summary = summarise(store.state);
  const [storeHead, auditHead] = [store.head(), audit.head()];
  return {
    total_incidents: summary.total,
    open_incidents: summary.open,
    contained_count: summary.contained,
    resolved_count: summary.resolved,
    by_class: summary.byClass,
    open_by_severity: summary.openBySeverity,
    overflow_count: summary.overflow,
    store_seq: storeHead.seq,
    store_head: storeHead.mac,
    audit_seq: auditHead.seq,
    audit_head: auditHead.mac,
    policy_digest: recorder.policy().digest,
  };
}

/** A refused policy changes nothing, and the refusal is on record like the change. */
async function reload({ recorder, audit, loadPolicy, log }: RouteParts, exchange: Exchange): Promise<Reply> {
  let next: ContainmentPolicy;
  try {
    next = await loadPolicy();
  } catch (error) {
    log("error", "containment policy refused, the old one stays", { requestId: exchange.requestId, ...errorFields(error) });
    await audit.append("policy_refused", { request_id: exchange.requestId, in_force: recorder.policy().digest });
    throw new RecorderError("CONTAINMENT_RELOAD_FAILED", { cause: error });
  }
  await recorder.replacePolicy(next, exchange);
  return ok({ status: "reloaded", policy_digest: next.digest });
}
