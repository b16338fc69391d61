import type { AuditLog } from "@secai/kit/audit";
import { errorReply } from "@secai/kit/http";
import { errorFields, type Log } from "@secai/kit/log";
import type { Metrics } from "@secai/kit/metrics";
import { type Exchange, type Reply, type Route, route } from "@secai/kit/route";
import { shape } from "@secai/kit/schema";
import { Type } from "@sinclair/typebox";
import type { Engine } from "./engine.ts";
import { policyErrors } from "./errors.ts";
import type { Policy } from "./policy.ts";
import { SessionMode } from "./policy-schema.ts";

const closed = { additionalProperties: false } as const;
const Word = Type.String({ minLength: 1, maxLength: 64 });
const Text = Type.String({ minLength: 1, maxLength: 4096 });
const Count = Type.Integer({ minimum: 0 });
const Digest = Type.String({ pattern: "^[0-9a-f]{64}$" });

export const decisionRequest = shape(
  "decision request",
  Type.Object(
    {
      domain: Word,
      subject: Text,
      action: Type.Optional(Word),
      session_mode: Type.Optional(SessionMode),
      params: Type.Optional(
        Type.Record(Type.String({ pattern: "^[a-z_]{1,64}$" }), Type.String({ maxLength: 4096 }), {
          ...closed,
          maxProperties: 32,
        }),
      ),
    },
    closed,
  ),
);

const evidence = Type.Object(
  {
    timestamp: Type.String(),
    domain: Word,
    policy_digest: Digest,
    rule_id: Type.String(),
    input_hash: Type.String({ pattern: "^[0-9a-f]{16}$" }),
    eval_time_us: Count,
  },
  closed,
);
const decision = Type.Union([Type.Literal("allow"), Type.Literal("deny"), Type.Literal("ask")]);
export const decisionAnswer = shape("decision", Type.Object({ decision, reason: Type.String(), evidence }, closed));

const healthAnswer = shape("liveness", Type.Object({ status: Type.Literal("ok"), policy_digest: Digest }, closed));
const readyAnswer = shape("readiness", Type.Object({ status: Type.Literal("ready") }, closed));
const digestAnswer = shape("digest", Type.Object({ policy_digest: Digest }, closed));
const reloadAnswer = shape("reload", Type.Object({ status: Type.Literal("reloaded"), policy_digest: Digest }, closed));
const statsAnswer = shape(
  "statistics",
  Type.Object(
    {
      policy_digest: Digest,
      tools_allow: Count,
      tools_deny: Count,
      total_requests: Count,
      allowed: Count,
      denied: Count,
      ask: Count,
      audit_seq: Count,
      audit_head: Digest,
    },
    closed,
  ),
);

export interface RouteParts {
  readonly engine: Engine;
  readonly audit: Pick<AuditLog, "append" | "head" | "fault">;
  /** Reads and compiles the policy files as they are now. */
  readonly loadPolicy: () => Promise<Policy>;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Everything the service answers. A denial is status 200: only "allow" with 200 permits anything. */
export function policyRoutes(parts: RouteParts): readonly Route[] {
  const { engine, audit, metrics } = parts;
  const json = (value: unknown): Promise<Reply> => Promise.resolve({ status: 200, json: value });
  return [
    route({ method: "GET", path: "/health", summary: "The process answers.", access: "open", response: healthAnswer }, () =>
      json({ status: "ok", policy_digest: engine.policy().digest }),
    ),
    route(
      {
        method: "GET",
        path: "/ready",
        summary: "Decisions can be recorded, so they can be made.",
        access: "open",
        response: readyAnswer,
        errors: ["HTTP_UNAVAILABLE"],
      },
      async (_body, exchange) => readiness(audit, exchange),
    ),
    route(
      {
        method: "POST",
        path: "/api/v1/decide",
        summary: "May this happen?",
        access: "token",
        request: decisionRequest,
        response: decisionAnswer,
        errors: ["HTTP_UNAVAILABLE"],
      },
      async (request, exchange) => {
        const answer = await engine.decide(request, exchange);
        metrics.count("decisions_total", { decision: answer.decision });
        return json(answer);
      },
    ),
    route(
      { method: "GET", path: "/api/v1/stats", summary: "Counts since the start.", access: "token", response: statsAnswer },
      () => json(statistics(parts)),
    ),
    route(
      { method: "GET", path: "/api/v1/digest", summary: "Which policy is in force.", access: "token", response: digestAnswer },
      () => json({ policy_digest: engine.policy().digest }),
    ),
    route(
      {
        method: "POST",
        path: "/api/v1/reload",
        summary: "Reads the policy files again; both are taken or none.",
        access: "token",
        response: reloadAnswer,
        errors: ["HTTP_UNAVAILABLE"],
      },
      (_body, exchange) => reload(parts, exchange),
    ),
    route({ method: "GET", path: "/metrics", summary: "Prometheus metrics.", access: "token" }, () =>
      Promise.resolve({ status: 200, text: metrics.render() }),
    ),
  ];
}

function readiness(audit: RouteParts["audit"], exchange: Exchange): Reply {
  const fault = audit.fault();
  if (fault === undefined) return { status: 200, json: { status: "ready" } };
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
  return { status: 200, json: { status: "reloaded", policy_digest: next.digest } };
}
