import type { AuditLog } from "@secai/kit/audit";
import { canonicalJson, type JsonValue, sha256 } from "@secai/kit/digest";
import { createRateLimiter, type RateLimiter } from "@secai/kit/rate-limit";
import type { Exchange } from "@secai/kit/route";
import { type Clock, rfc3339Seconds } from "@secai/kit/sources";
import { type Decision, type DecisionRequest, decide } from "./core.ts";
import type { Policy } from "./policy.ts";

/** What a caller can keep to show later why it did or did not act. */
export interface Evidence {
  /** RFC 3339, UTC, seconds. */
  readonly timestamp: string;
  readonly domain: string;
  readonly policy_digest: string;
  readonly rule_id: string;
  /** First 8 bytes, in hex, of the SHA-256 of the request's RFC 8785 form. */
  readonly input_hash: string;
  readonly eval_time_us: number;
}

export interface Answer {
  readonly decision: Decision["decision"];
  readonly reason: string;
  readonly evidence: Evidence;
}

export interface Stats {
  readonly total: number;
  readonly allow: number;
  readonly deny: number;
  readonly ask: number;
}

export interface Engine {
  /**
   * Decides, and answers only when the decision is on record.
   * @throws KitError AUDIT_UNAVAILABLE: nobody may act on a decision that nobody can look up
   */
  decide(request: DecisionRequest, exchange: Exchange): Promise<Answer>;
  /** Puts another policy in force, whole, after that is on record. Rate limits start anew. */
  replacePolicy(policy: Policy, exchange: Exchange): Promise<void>;
  policy(): Policy;
  stats(): Stats;
}

export interface EngineParts {
  readonly policy: Policy;
  readonly audit: Pick<AuditLog, "append">;
  readonly clock: Clock;
}

export function createEngine({ policy: initial, audit, clock }: EngineParts): Engine {
  let policy = initial;
  let toolCalls = createRateLimiter(policy.toolRate);
  const stats = { total: 0, allow: 0, deny: 0, ask: 0 };
  return {
    async decide(request, { requestId }) {
      const answer = evaluate(request, policy, toolCalls, clock);
      await audit.append("decision", decisionRecord(request, answer, requestId));
      stats.total += 1;
      stats[answer.decision] += 1;
      return answer;
    },
    async replacePolicy(next, { requestId }) {
      await audit.append("policy_replaced", { from: policy.digest, to: next.digest, request_id: requestId });
      policy = next;
      toolCalls = createRateLimiter(next.toolRate);
    },
    policy: () => policy,
    stats: () => ({ ...stats }),
  };
}

function evaluate(request: DecisionRequest, policy: Policy, toolCalls: RateLimiter, clock: Clock): Answer {
  const start = clock.monotonicMs();
  const { decision, reason, ruleId } = limited(request, toolCalls, start) ?? decide(request, policy);
  return {
    decision,
    reason,
    evidence: {
      timestamp: rfc3339Seconds(clock.nowMs()),
      domain: request.domain,
      policy_digest: policy.digest,
      rule_id: ruleId,
      input_hash: sha256(canonicalJson(request)).slice(0, 16),
      eval_time_us: Math.round((clock.monotonicMs() - start) * 1000),
    },
  };
}

/** The policy's rate limit of tool calls, over all callers. */
function limited({ domain }: DecisionRequest, toolCalls: RateLimiter, nowMs: number): Decision | undefined {
  if (domain !== "tool_access" || toolCalls.take(nowMs)) return undefined;
  return { decision: "deny", reason: "too many tool calls", ruleId: "tools.rate_limit" };
}

/** `params` are left out: they may hold content. Their hash is in the evidence. */
function decisionRecord(
  { domain, subject, action, session_mode }: DecisionRequest,
  answer: Answer,
  requestId: string,
): { [key: string]: JsonValue } {
  return {
    domain,
    subject,
    ...(action === undefined ? {} : { action }),
    ...(session_mode === undefined ? {} : { session_mode }),
    decision: answer.decision,
    reason: answer.reason,
    evidence: { ...answer.evidence },
    request_id: requestId,
  };
}
