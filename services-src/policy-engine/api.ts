import type { Endpoint } from "@secai/kit/route";
import { shape } from "@secai/kit/schema";
import { Type } from "@sinclair/typebox";
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

/** Everything the service answers. A denial is status 200: only "allow" with 200 permits anything. */
export const endpoints = {
  health: { method: "GET", path: "/health", summary: "The process answers.", access: "open", response: healthAnswer },
  ready: {
    method: "GET",
    path: "/ready",
    summary: "Decisions can be recorded, so they can be made.",
    access: "open",
    response: readyAnswer,
    errors: { AUDIT_UNAVAILABLE: 503 },
  },
  decide: {
    method: "POST",
    path: "/api/v1/decide",
    summary: "May this happen?",
    access: ["token"],
    request: decisionRequest,
    response: decisionAnswer,
    errors: { AUDIT_UNAVAILABLE: 503 },
  },
  stats: { method: "GET", path: "/api/v1/stats", summary: "Counts since the start.", access: ["token"], response: statsAnswer },
  digest: {
    method: "GET",
    path: "/api/v1/digest",
    summary: "Which policy is in force.",
    access: ["token"],
    response: digestAnswer,
  },
  reload: {
    method: "POST",
    path: "/api/v1/reload",
    summary: "Reads the policy files again; both are taken or none.",
    access: ["token"],
    response: reloadAnswer,
    errors: { AUDIT_UNAVAILABLE: 503, POLICY_RELOAD_FAILED: 500 },
  },
  metrics: { method: "GET", path: "/metrics", summary: "Prometheus metrics.", access: ["token"] },
} as const satisfies Readonly<Record<string, Endpoint>>;
