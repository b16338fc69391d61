import type { AuditLog } from "@secai/kit/audit";
import { errorReply } from "@secai/kit/http";
import { errorFields, type Log } from "@secai/kit/log";
import type { Metrics } from "@secai/kit/metrics";
import type { Outbox } from "@secai/kit/outbox";
import type { Report } from "@secai/kit/reporting";
import { type Exchange, type Reply, type Route, route } from "@secai/kit/route";
import { endpoints, type RebaselineRequest } from "./api.ts";
import type { Baseline } from "./baseline.ts";
import { MonitorError, monitorErrors } from "./errors.ts";
import type { Monitor } from "./monitor.ts";
import { integrityStates, MAX_KEPT } from "./state.ts";
import { baselineDigest } from "./take-baseline.ts";
import { digestOf, sortViolations, type Violation } from "./violation.ts";

export interface RouteParts {
  readonly monitor: Monitor;
  readonly audit: Pick<AuditLog, "head" | "fault">;
  readonly reporter: Pick<Outbox<Report>, "size" | "refused">;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function monitorRoutes(parts: RouteParts): readonly Route[] {
  const { monitor, metrics } = parts;
  return [
    route(endpoints.health, async () => {
      const { state, scanned } = monitor.status();
      return ok({ status: "ok", state, scanned });
    }),
    route(endpoints.ready, async (_body, exchange) => readiness(parts, exchange)),
    route(endpoints.status, async () => ok(statusOf(parts))),
    route(endpoints.baseline, async (_body, exchange) => baselineReply(monitor, exchange)),
    route(endpoints.verify, async () => verdict(monitor)),
    route(endpoints.scan, async () => {
      await monitor.scan();
      const { state, violations } = monitor.status();
      const violations_sha256 = digestOf(violations);
      return ok({ state, violation_count: violations.length, violations_sha256, violations: shown(violations) });
    }),
    route(endpoints.rebaseline, ({ accept_digest }: RebaselineRequest, exchange) =>
      orRefusal(exchange, async () => {
        const baseline = await monitor.rebaseline(accept_digest, exchange.requestId);
        return { status: "rebaselined", state: monitor.status().state, baseline: summaryOf(baseline) };
      }),
    ),
    route(endpoints.release, ({ incident_id, binding }: { incident_id: string; binding: string }, exchange) =>
      orRefusal(exchange, async () => {
        await monitor.release(incident_id, binding, exchange.requestId);
        return { status: "released", incident_id, held_by: [] };
      }),
    ),
    route(endpoints.reload, (_body, exchange) => reload(parts, exchange)),
    route(endpoints.metrics, async () => ({ status: 200, text: metrics.render() })),
  ];
}

/** Values that a look changes; the state as its place in the list: 0 trusted, 1 degraded, 2 recovery_required. */
export function addGauges({ monitor, reporter, metrics }: Pick<RouteParts, "monitor" | "reporter" | "metrics">): void {
  const status = () => monitor.status();
  metrics.gauge("state", () => integrityStates.indexOf(status().state));
  metrics.gauge("violations", () => status().violations.length);
  metrics.gauge("scans", () => status().scanCount);
  metrics.gauge("scan_seconds", () => status().lastScanMs / 1000);
  metrics.gauge("pending_hashes", () => status().waiting);
  metrics.gauge("oldest_hash_seconds", () => status().oldestHashSeconds);
  metrics.gauge("reports_waiting", () => reporter.size());
}

const ok = (json: unknown): Reply => ({ status: 200, json });

const shown = (violations: readonly Violation[]): readonly Violation[] => sortViolations(violations).slice(0, MAX_KEPT);

const statusOfRefusal = { REBASELINE_REFUSED: 409, RELEASE_REFUSED: 409, MONITOR_SCANNING: 503 } as const;

async function orRefusal(exchange: Exchange, work: () => Promise<unknown>): Promise<Reply> {
  try {
    return ok(await work());
  } catch (error) {
    if (!(error instanceof MonitorError) || !Object.hasOwn(statusOfRefusal, error.code)) throw error;
    const status = statusOfRefusal[error.code as keyof typeof statusOfRefusal];
    return errorReply(status, error.code, monitorErrors[error.code].meaning, exchange);
  }
}

function readiness({ monitor, audit }: RouteParts, exchange: Exchange): Reply {
  const { state, scanned, saved } = monitor.status();
  const fault = audit.fault();
  if (fault !== undefined) return errorReply(503, fault.code, "What is found cannot be recorded.", exchange);
  if (!saved) return errorReply(503, "AUDIT_UNAVAILABLE", "What was found is not on the disk yet.", exchange);
  if (!scanned) return errorReply(503, "MONITOR_SCANNING", monitorErrors.MONITOR_SCANNING.meaning, exchange);
  return ok({ status: "ready", state });
}

function verdict(monitor: Monitor): Reply {
  const { state, scanned } = monitor.status();
  const trusted = scanned && state === "trusted";
  return { status: trusted ? 200 : 503, json: { trusted, state } };
}

function baselineReply(monitor: Monitor, exchange: Exchange): Reply {
  const { baseline } = monitor.status();
  if (baseline !== undefined) return ok(baseline);
  return errorReply(404, "BASELINE_MISSING", "No baseline has been taken yet.", exchange);
}

function summaryOf(baseline: Baseline): Record<string, unknown> {
  const { generation, root_hash, created_at, release, machine, system } = baseline;
  const entries = release.length + machine.files.length + machine.metadata.length + system.unit_files.length;
  return { generation, root_hash, created_at, sha256: baselineDigest(baseline), entries };
}

function statusOf({ monitor, audit, reporter }: RouteParts): Record<string, unknown> {
  const status = monitor.status();
  const { baseline, latch } = status;
  const { seq, mac } = audit.head();
  const summary = baseline === undefined ? null : summaryOf(baseline);
  return {
    state: status.state,
    standing_state: status.standing,
    scanned: status.scanned,
    latched_since: latch.since,
    watched_files: summary?.entries ?? 0,
    watched_folders: status.watchedFolders,
    violation_count: status.violations.length,
    active_violations: shown(status.violations),
    latch_reasons: latch.reasons,
    last_scan_at: status.lastScanAt,
    last_scan_ms: status.lastScanMs,
    scan_count: status.scanCount,
    degraded_count: status.degradedCount,
    recovery_count: status.recoveryCount,
    pending_hashes: status.waiting,
    oldest_hash_seconds: status.oldestHashSeconds,
    baseline: summary,
    reports_waiting: reporter.size(),
    reports_refused: reporter.refused(),
    audit_seq: seq,
    audit_head: mac,
  };
}

/** A refused policy changes nothing; the refusal is in the log and, by the policy's violation, on record. */
async function reload({ monitor, log }: RouteParts, exchange: Exchange): Promise<Reply> {
  try {
    return ok({ status: "reloaded", policy_digest: await monitor.reload(exchange.requestId) });
  } catch (error) {
    log("error", "policy refused, the old one stays", { requestId: exchange.requestId, ...errorFields(error) });
    return errorReply(500, "MONITOR_RELOAD_FAILED", monitorErrors.MONITOR_RELOAD_FAILED.meaning, exchange);
  }
}
