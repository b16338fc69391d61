import type { GpuAttestState } from "@secai/kit/api/gpu-integrity";
import type { AuditLog } from "@secai/kit/audit";
import { errorReply } from "@secai/kit/http";
import { errorFields, type Log } from "@secai/kit/log";
import type { Metrics } from "@secai/kit/metrics";
import type { Outbox } from "@secai/kit/outbox";
import type { Report } from "@secai/kit/reporting";
import { type Exchange, type Reply, type Route, route } from "@secai/kit/route";
import type { Clock } from "@secai/kit/sources";
import { type BaselineRequest, endpoints } from "./api.ts";
import { GpuWatchError, gpuWatchErrors } from "./errors.ts";
import type { ProbeResult } from "./outcome.ts";
import type { LoadedProfile } from "./profile.ts";
import type { BaselineState, Cycle, Watch } from "./watch.ts";

export interface RouteParts {
  readonly watch: Watch;
  readonly audit: Pick<AuditLog, "append" | "fault">;
  readonly reporter: Pick<Outbox<Report>, "size" | "refused">;
  readonly loadProfile: () => Promise<LoadedProfile>;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

export function watchRoutes(parts: RouteParts): readonly Route[] {
  const { watch, metrics } = parts;
  return [
    route(endpoints.health, async () => ok({ status: "ok", verdict: watch.latest()?.verdict ?? "unknown" })),
    route(endpoints.ready, async (_body, exchange) => readiness(parts, exchange)),
    route(endpoints.check, async (_body, { signal }) => ok(checkAnswer(watch, await watch.check("request", signal)))),
    route(endpoints.status, async () => ok(status(parts))),
    route(endpoints.history, async () => ok({ history: watch.history().map(historyEntry) })),
    route(endpoints.attestState, async () => ok(attestState(parts))),
    route(endpoints.baseline, (order: BaselineRequest, exchange) => capture(parts, order, exchange)),
    route(endpoints.reload, (_body, exchange) => reload(parts, exchange)),
    route(endpoints.metrics, async () => ({ status: 200, text: metrics.render() })),
  ];
}

const ok = (json: unknown): Reply => ({ status: 200, json });

function readiness({ audit }: RouteParts, exchange: Exchange): Reply {
  const fault = audit.fault();
  if (fault === undefined) return ok({ status: "ready" });
  return errorReply(503, fault.code, "What is found cannot be recorded.", exchange);
}

const probeAnswer = ({ name, type, status, score, findings, timestamp, duration_ms }: ProbeResult) => ({
  name,
  type,
  status,
  score,
  findings,
  timestamp,
  duration_ms,
});

const statuses = ({ results }: Cycle) => Object.fromEntries(results.map(({ name, status }) => [name, status]));
const scores = ({ results }: Cycle) => Object.fromEntries(results.map(({ name, score }) => [name, score]));

function checkAnswer(watch: Watch, { timestamp, verdict, score, results, actions }: Cycle) {
  return { timestamp, verdict, composite_score: score, trend: watch.trend(), probes: results.map(probeAnswer), actions };
}

function historyEntry(cycle: Cycle) {
  const { timestamp, score, verdict } = cycle;
  return { timestamp, composite_score: score, verdict, probe_scores: scores(cycle), probe_statuses: statuses(cycle) };
}

function status({ watch, reporter }: RouteParts) {
  const latest = watch.latest();
  const { digest, model_dir } = watch.profile();
  return {
    latest: latest === undefined ? null : { timestamp: latest.timestamp, verdict: latest.verdict, composite_score: latest.score },
    trend: watch.trend(),
    cycles: watch.cycles(),
    reload_requested: latest?.actions.some(({ type }) => type === "reload_requested") ?? false,
    profile_digest: digest,
    model_dir,
    baseline: baselineWord(watch.baseline()),
    probes: latest?.results.map(probeAnswer) ?? [],
    actions: latest?.actions ?? [],
    undelivered_reports: reporter.size(),
    refused_reports: reporter.refused(),
  };
}

function baselineWord(state: BaselineState) {
  switch (state.is) {
    case "none":
      return { state: "none" };
    case "refused":
      return { state: "refused", code: state.code };
    case "held":
      return { state: "held", digest: state.baseline.digest, captured_at: state.baseline.capturedAt };
  }
}

function attestState({ watch, clock }: RouteParts): GpuAttestState {
  const latest = watch.latest();
  const baseline = watch.baseline();
  const version = latest?.devices.find(({ driverVersion }) => driverVersion !== null)?.driverVersion;
  return {
    timestamp: latest?.timestamp ?? new Date(clock.nowMs()).toISOString(),
    verdict: latest?.verdict ?? "unknown",
    composite_score: latest?.score ?? 0,
    probe_statuses: latest === undefined ? {} : statuses(latest),
    probe_scores: latest === undefined ? {} : scores(latest),
    ...(typeof version === "string" ? { driver_version: version.slice(0, 128) } : {}),
    ...(latest === undefined ? {} : { device_nodes: latest.nodes.slice(0, 256) }),
    trend: watch.trend(),
    cycles: watch.cycles(),
    ...(baseline.is === "held" ? { baseline_digest: baseline.baseline.digest } : {}),
  };
}

/** Status of each refusal of a capture, as the OpenAPI page has it. */
const CAPTURE_STATUS: Readonly<Record<string, number>> = endpoints.baseline.errors;

async function capture({ watch, log }: RouteParts, order: BaselineRequest, exchange: Exchange): Promise<Reply> {
  try {
    const { contentDigest, baseline, ...counts } = await watch.capture(order, exchange.signal);
    const digest = baseline === undefined ? {} : { baseline_digest: baseline.digest };
    return ok({ status: baseline === undefined ? "candidate" : "captured", content_digest: contentDigest, ...counts, ...digest });
  } catch (error) {
    const status = error instanceof GpuWatchError ? CAPTURE_STATUS[error.code] : undefined;
    if (!(error instanceof GpuWatchError) || status === undefined) throw error;
    log("warning", "no baseline was captured", { requestId: exchange.requestId, ...errorFields(error) });
    return errorReply(status, error.code, gpuWatchErrors[error.code].meaning, exchange);
  }
}

/** A refused profile changes nothing, and the refusal is on record like the change. */
async function reload({ watch, audit, loadProfile, log }: RouteParts, exchange: Exchange): Promise<Reply> {
  let next: LoadedProfile;
  try {
    next = await loadProfile();
  } catch (error) {
    log("error", "profile refused, the old one stays", { requestId: exchange.requestId, ...errorFields(error) });
    await audit.append("profile_refused", { in_force: watch.profile().digest });
    return errorReply(500, "GPU_PROFILE_REFUSED", gpuWatchErrors.GPU_PROFILE_REFUSED.meaning, exchange);
  }
  await audit.append("profile_replaced", { from: watch.profile().digest, to: next.digest });
  watch.replaceProfile(next);
  return ok({ status: "reloaded", profile_digest: next.digest });
}
