import type { AuditLog } from "@secai/kit/audit";
import { errorReply } from "@secai/kit/http";
import { errorFields, type Log } from "@secai/kit/log";
import type { Metrics } from "@secai/kit/metrics";
import { type Exchange, type Reply, type Route, route } from "@secai/kit/route";
import { endpoints } from "./api.ts";
import type { DecisionRequest } from "./core.ts";
import type { Engine } from "./engine.ts";
import { policyErrors } from "./errors.ts";
import type { Policy } from "./policy.ts";

export interface RouteParts {
  readonly engine: Engine;
  readonly audit: Pick<AuditLog, "append" | "head" | "fault">;
  /** Reads and compiles the policy files as they are now. */
  readonly loadPolicy: () => Promise<Policy>;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function policyRoutes(parts: RouteParts): readonly Route[] {
  const { engine, audit, metrics } = parts;
  return [
    route(endpoints.health, async () => ok({ status: "ok", policy_digest: engine.policy().digest })),
    route(endpoints.ready, async (_body, exchange) => readiness(audit, exchange)),
    route(endpoints.decide, async (request: DecisionRequest, exchange) => {
      const answer = await engine.decide(request, exchange);
      metrics.count("decisions_total", { decision: answer.decision });
      return ok(answer);
    }),
    route(endpoints.stats, async () => ok(statistics(parts))),
    route(endpoints.digest, async () => ok({ policy_digest: engine.policy().digest })),
    route(endpoints.reload, (_body, exchange) => reload(parts, exchange)),
    route(endpoints.metrics, async () => ({ status: 200, text: metrics.render() })),
  ];
}

function ok(json: unknown): Reply {
  return { status: 200, json };
}

function readiness(audit: RouteParts["audit"], exchange: Exchange): Reply {
  const fault = audit.fault();
  if (fault === undefined) return ok({ status: "ready" });
  return errorReply(503, fault.code, "Decisions cannot be recorded.", exchange);
}

function statistics({ engine, audit }: RouteParts): Record<string, unknown> {
  const { digest, toolsAllowed, toolsDenied } = engine.policy();
  const { total, allow, deny, ask } = engine.stats();
  const { seq, mac } = audit.head();
  return {
    policy_digest: digest,
    tools_allow: toolsAllowed.size,
    tools_deny: toolsDenied.size,
    total_requests: total,
    allowed: allow,
    denied: deny,
    ask,
    audit_seq: seq,
    audit_head: mac,
  };
}

/** A refused policy changes nothing, and the refusal is on record like the change. */
async function reload({ engine, audit, loadPolicy, log }: RouteParts, exchange: Exchange): Promise<Reply> {
  let next: Policy;
  try {
    next = await loadPolicy();
  } catch (error) {
    log("error", "policy refused, the old one stays", { requestId: exchange.requestId, ...errorFields(error) });
    await audit.append("policy_refused", { request_id: exchange.requestId, in_force: engine.policy().digest });
    return errorReply(500, "POLICY_RELOAD_FAILED", policyErrors.POLICY_RELOAD_FAILED.meaning, exchange);
  }
  await engine.replacePolicy(next, exchange);
  return ok({ status: "reloaded", policy_digest: next.digest });
}
