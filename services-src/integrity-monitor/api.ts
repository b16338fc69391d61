import { Count, closed, Digest, Instant, oneOf } from "@secai/kit/api/common";
import { containmentAnswer, releaseRequest } from "@secai/kit/api/containment";
import type { Endpoint } from "@secai/kit/route";
import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";
import { Baseline, ViolationShape } from "./baseline.ts";
import { integrityStates, MAX_KEPT } from "./state.ts";

const State = oneOf(integrityStates);
const Violations = Type.Array(ViolationShape, { maxItems: MAX_KEPT });
const NullableInstant = Type.Union([Type.Null(), Instant]);

const healthAnswer = shape(
  "liveness",
  Type.Object({ status: Type.Literal("ok"), state: State, scanned: Type.Boolean() }, closed),
);
const readyAnswer = shape("readiness", Type.Object({ status: Type.Literal("ready"), state: State }, closed));
const BaselineSummary = Type.Object(
  { generation: Count, root_hash: Digest, created_at: Instant, sha256: Digest, entries: Count },
  closed,
);
export const statusAnswer = shape(
  "integrity status",
  Type.Object(
    {
      /** The worse of what stands and of the latch. */
      state: State,
      /** What stands now amounts to this alone. */
      standing_state: State,
      /** Whether a full look has ended since the start; before, `state` says only what the latch remembers. */
      scanned: Type.Boolean(),
      latched_since: NullableInstant,
      watched_files: Count,
      watched_folders: Count,
      violation_count: Count,
      /** At most 50. */
      active_violations: Violations,
      /** What made the latch fall, at most 50; it may be right again. */
      latch_reasons: Violations,
      last_scan_at: NullableInstant,
      last_scan_ms: Type.Number({ minimum: 0 }),
      scan_count: Count,
      degraded_count: Count,
      recovery_count: Count,
      /** Files whose digest is being read. */
      pending_hashes: Count,
      /** Since the least recently read file was read. */
      oldest_hash_seconds: Type.Number({ minimum: 0 }),
      baseline: Type.Union([Type.Null(), BaselineSummary]),
      reports_waiting: Count,
      reports_refused: Count,
      audit_seq: Count,
      audit_head: Digest,
    },
    closed,
  ),
);
export const verifyAnswer = shape("integrity verdict", Type.Object({ trusted: Type.Boolean(), state: State }, closed));
export const scanAnswer = shape(
  "scan",
  Type.Object(
    {
      state: State,
      violation_count: Count,
      /** Of all of them, also of those that are too many to be shown: what a rebaseline names. */
      violations_sha256: Digest,
      violations: Violations,
    },
    closed,
  ),
);
const RebaselineRequest = Type.Object(
  {
    /** violations_sha256 of a scan: these violations are accepted, and no others that came since. */
    accept_digest: Digest,
  },
  closed,
);
export type RebaselineRequest = Static<typeof RebaselineRequest>;
const rebaselineAnswer = shape(
  "rebaseline",
  Type.Object({ status: Type.Literal("rebaselined"), state: State, baseline: BaselineSummary }, closed),
);
const reloadAnswer = shape("reload", Type.Object({ status: Type.Literal("reloaded"), policy_digest: Digest }, closed));
const baselineAnswer = shape("integrity baseline", Baseline);

const MONITOR = ["monitor", "rebaseline"] as const;

export const endpoints = {
  health: { method: "GET", path: "/health", summary: "The process answers.", access: "open", response: healthAnswer },
  ready: {
    method: "GET",
    path: "/ready",
    summary: "The machine was looked at, and what is found can be recorded.",
    access: "open",
    response: readyAnswer,
    errors: { AUDIT_UNAVAILABLE: 503, MONITOR_SCANNING: 503 },
  },
  status: {
    method: "GET",
    path: "/api/v1/status",
    summary: "What stands, what fell, what was looked at.",
    access: MONITOR,
    response: statusAnswer,
  },
  baseline: {
    method: "GET",
    path: "/api/v1/baseline",
    summary: "What the machine is held to.",
    access: MONITOR,
    response: baselineAnswer,
    errors: { BASELINE_MISSING: 404 },
  },
  verify: {
    method: "GET",
    path: "/api/v1/verify",
    summary: "Is the machine as it should be? 503 with the same body if not.",
    access: MONITOR,
    response: verifyAnswer,
  },
  scan: {
    method: "POST",
    path: "/api/v1/scan",
    summary: "Looks at everything now.",
    access: MONITOR,
    response: scanAnswer,
  },
  rebaseline: {
    method: "POST",
    path: "/api/v1/rebaseline",
    summary: "Takes this machine's own files into the baseline as they are. Nothing of the release, and the latch stays.",
    access: ["rebaseline"],
    request: shape("rebaseline request", RebaselineRequest),
    response: rebaselineAnswer,
    errors: { REBASELINE_REFUSED: 409, AUDIT_UNAVAILABLE: 503 },
  },
  release: {
    method: "POST",
    path: "/api/v1/release",
    summary: "Lifts the latch, once nothing is wrong any more.",
    access: ["rebaseline"],
    request: releaseRequest,
    response: containmentAnswer,
    errors: { RELEASE_REFUSED: 409, MONITOR_SCANNING: 503, AUDIT_UNAVAILABLE: 503 },
  },
  reload: {
    method: "POST",
    path: "/api/v1/reload",
    summary: "Reads the policy again, unless it is not the release's.",
    access: MONITOR,
    response: reloadAnswer,
    errors: { MONITOR_RELOAD_FAILED: 500, AUDIT_UNAVAILABLE: 503 },
  },
  metrics: { method: "GET", path: "/metrics", summary: "Prometheus metrics.", access: MONITOR },
} as const satisfies Readonly<Record<string, Endpoint>>;
