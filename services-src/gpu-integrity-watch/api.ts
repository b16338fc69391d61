import { Count, closed, Digest, Instant, Line, Name, oneOf, Path } from "@secai/kit/api/common";
import { gpuAttestState, gpuVerdicts, probeStatuses } from "@secai/kit/api/gpu-integrity";
import type { Endpoint } from "@secai/kit/route";
import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";
import { actionTypes } from "./profile-schema.ts";

const Score = Type.Number({ minimum: 0, maximum: 1 });
const Trend = Type.Number({ minimum: -1, maximum: 1 });
const Verdict = oneOf(gpuVerdicts);
const Status = oneOf(probeStatuses);

const Probe = Type.Object(
  {
    name: Name,
    type: Name,
    status: Status,
    score: Score,
    findings: Type.Array(
      Type.Object(
        {
          description: Line(512),
          severity: oneOf(["info", "warning", "critical"]),
          item: Type.Optional(Line(512)),
        },
        closed,
      ),
      { maxItems: 64 },
    ),
    timestamp: Instant,
    duration_ms: Count,
  },
  closed,
);
const Action = Type.Object(
  {
    name: Name,
    type: oneOf(actionTypes),
    outcome: oneOf(["queued", "noted", "nothing to name", "failed"]),
    reports: Count,
    error: Type.Optional(Line(64)),
  },
  closed,
);
const Latest = Type.Object({ timestamp: Instant, verdict: Verdict, composite_score: Score }, closed);

const CheckAnswer = Type.Object(
  {
    timestamp: Instant,
    verdict: Verdict,
    composite_score: Score,
    trend: Trend,
    probes: Type.Array(Probe),
    actions: Type.Array(Action),
  },
  closed,
);
export type CheckAnswer = Static<typeof CheckAnswer>;
export const checkAnswer = shape("GPU check", CheckAnswer);

const BaselineWord = Type.Object(
  {
    state: oneOf(["none", "held", "refused"]),
    /** Why it was refused. */
    code: Type.Optional(Line(64)),
    digest: Type.Optional(Digest),
    captured_at: Type.Optional(Instant),
  },
  closed,
);

const StatusAnswer = Type.Object(
  {
    latest: Type.Union([Type.Null(), Latest]),
    trend: Trend,
    cycles: Count,
    /** An action of the profile asked for the model to be loaded anew, and nothing has been well since. */
    reload_requested: Type.Boolean(),
    profile_digest: Digest,
    model_dir: Path,
    baseline: BaselineWord,
    probes: Type.Array(Probe),
    actions: Type.Array(Action),
    undelivered_reports: Count,
    refused_reports: Count,
  },
  closed,
);
export const statusAnswer = shape("GPU watch status", StatusAnswer);

const History = Type.Array(
  Type.Object(
    {
      timestamp: Instant,
      composite_score: Score,
      verdict: Verdict,
      probe_scores: Type.Record(Name, Score, closed),
      probe_statuses: Type.Record(Name, Status, closed),
    },
    closed,
  ),
);
const historyAnswer = shape("GPU history", Type.Object({ history: History }, closed));

const BaselineRequest = Type.Object(
  {
    /** Look and count, capture nothing. */
    dry_run: Type.Optional(Type.Boolean()),
    replace: Type.Optional(Type.Boolean()),
    /** content_digest of a dry run: this and nothing else is captured. */
    accept_digest: Type.Optional(Digest),
  },
  closed,
);
export type BaselineRequest = Static<typeof BaselineRequest>;

const BaselineAnswer = Type.Object(
  {
    status: oneOf(["candidate", "captured"]),
    content_digest: Digest,
    files: Count,
    /** null: the inference runtime was not there to be asked. */
    sentinels: Type.Union([Type.Null(), Count]),
    drivers: Count,
    devices: Count,
    baseline_digest: Type.Optional(Digest),
  },
  closed,
);

const watch = ["watch"] as const;

export const endpoints = {
  health: {
    method: "GET",
    path: "/health",
    summary: "The process answers, and with what verdict.",
    access: "open",
    response: shape("liveness", Type.Object({ status: Type.Literal("ok"), verdict: Verdict }, closed)),
  },
  ready: {
    method: "GET",
    path: "/ready",
    summary: "What is found can be recorded.",
    access: "open",
    response: shape("readiness", Type.Object({ status: Type.Literal("ready") }, closed)),
    errors: { AUDIT_UNAVAILABLE: 503 },
  },
  check: {
    method: "POST",
    path: "/v1/check",
    summary: "Runs every probe now, or waits for the check that is under way.",
    access: watch,
    response: checkAnswer,
    errors: { AUDIT_UNAVAILABLE: 503 },
  },
  status: { method: "GET", path: "/v1/status", summary: "What the last check found.", access: watch, response: statusAnswer },
  history: {
    method: "GET",
    path: "/v1/history",
    summary: "The last checks, oldest first.",
    access: watch,
    response: historyAnswer,
  },
  attestState: {
    method: "GET",
    path: "/v1/attest-state",
    summary: "What the runtime attestor takes into its bundle.",
    access: ["attest-state"],
    response: gpuAttestState,
  },
  baseline: {
    method: "POST",
    path: "/v1/baseline",
    summary: "Captures models, answers, drivers and device nodes as they should be from now on.",
    access: watch,
    request: shape("baseline request", BaselineRequest),
    response: shape("baseline answer", BaselineAnswer),
    errors: {
      AUDIT_UNAVAILABLE: 503,
      GPU_BASELINE_EXISTS: 409,
      GPU_BASELINE_UNSAFE: 409,
      GPU_BASELINE_OTHER: 409,
      GPU_BASELINE_INCOMPLETE: 503,
      GPU_MODELS_UNREADABLE: 503,
    },
  },
  reload: {
    method: "POST",
    path: "/v1/reload",
    summary: "Reads the profile again; a bad one changes nothing.",
    access: watch,
    response: shape("reload", Type.Object({ status: Type.Literal("reloaded"), profile_digest: Digest }, closed)),
    errors: { AUDIT_UNAVAILABLE: 503, GPU_PROFILE_REFUSED: 500 },
  },
  metrics: { method: "GET", path: "/metrics", summary: "Prometheus metrics.", access: watch },
} as const satisfies Readonly<Record<string, Endpoint>>;
