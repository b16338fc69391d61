import { type Static, Type } from "@sinclair/typebox";
import { shape } from "../schema.ts";
import { Count, closed, Digest, Instant, Line, Name, oneOf } from "./common.ts";

export const incidentClasses = [
  "attestation_failure",
  "integrity_violation",
  "unauthorized_access",
  "manifest_mismatch",
  "policy_bypass_attempt",
  "prompt_injection",
  "model_behavior_anomaly",
  "tool_call_burst",
  "forbidden_airlock_request",
] as const;
export type IncidentClass = (typeof incidentClasses)[number];

/** From least to worst. */
export const severities = ["low", "medium", "high", "critical"] as const;
export type Severity = (typeof severities)[number];

export const incidentStates = ["open", "contained", "containment_failed", "resolved", "acknowledged"] as const;
export type IncidentState = (typeof incidentStates)[number];

export const containmentActions = [
  "freeze_agent",
  "disable_airlock",
  "quarantine_model",
  "force_vault_relock",
  "log_alert",
] as const;
export type ContainmentAction = (typeof containmentActions)[number];

/** Who may report what: the scope of its credential is "reporter.NAME", and `source` must be NAME. */
export const reporters = {
  "canary-tripwire": ["integrity_violation"],
  "gpu-integrity-watch": ["model_behavior_anomaly", "manifest_mismatch", "integrity_violation"],
  "integrity-monitor": ["manifest_mismatch", "integrity_violation"],
  "runtime-attestor": ["attestation_failure"],
  "policy-engine": ["policy_bypass_attempt", "unauthorized_access"],
  "tool-firewall": ["policy_bypass_attempt", "tool_call_burst"],
  airlock: ["forbidden_airlock_request", "policy_bypass_attempt"],
  agent: ["prompt_injection", "tool_call_burst", "policy_bypass_attempt"],
  ui: ["unauthorized_access"],
} as const satisfies Readonly<Record<string, readonly IncidentClass[]>>;
export type Reporter = keyof typeof reporters;

export const IncidentClassWord = oneOf(incidentClasses);
export const SeverityWord = oneOf(severities);
const StateWord = oneOf(incidentStates);
const ActionWord = oneOf(containmentActions);

const Scalar = Type.Union([
  Type.String({ maxLength: 4096 }),
  Type.Number({ minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
  Type.Boolean(),
  Type.Null(),
]);
const Key = "^[a-z][a-z0-9_.-]{0,63}$";
const Flat = Type.Record(Type.String({ pattern: Key }), Scalar, { ...closed, maxProperties: 64 });
/** Typed values: numbers stay numbers. A list or a table may hold scalars, a list also flat tables. */
export const Evidence = Type.Record(
  Type.String({ pattern: Key }),
  Type.Union([Scalar, Type.Array(Type.Union([Scalar, Flat]), { maxItems: 256 }), Flat]),
  { ...closed, maxProperties: 64 },
);
export type Evidence = Static<typeof Evidence>;

/** POST /api/v1/incidents/report. */
export const IncidentReport = Type.Object(
  {
    class: IncidentClassWord,
    source: Name,
    description: Line(1024),
    /** Can only raise the class's own severity. */
    severity: Type.Optional(SeverityWord),
    evidence: Type.Optional(Evidence),
    /** Reports with the same key are one report: a sender that got no answer sends it again. */
    idempotency_key: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9_-]{16,64}$" })),
    /** What the reporter regards as one standing fault; without it class, source and description are. */
    fingerprint: Type.Optional(Digest),
    /** When it was noticed, if the report had to wait. For the record only. */
    observed_at: Type.Optional(Instant),
  },
  closed,
);
export type IncidentReport = Static<typeof IncidentReport>;
export const incidentReport = shape("incident report", IncidentReport);

const ContainmentResult = Type.Object(
  { action: ActionWord, success: Type.Boolean(), error: Type.Optional(Line(1024)), attempts: Count, completed_at: Instant },
  closed,
);
export type ContainmentResult = Static<typeof ContainmentResult>;

export const Incident = Type.Object(
  {
    /** INC-YYYYMMDD-HHMMSS-NNNN; the last part counts on for ever. */
    id: Type.String({ pattern: "^INC-\\d{8}-\\d{6}-\\d{4,12}$" }),
    created_at: Instant,
    class: IncidentClassWord,
    severity: SeverityWord,
    state: StateWord,
    source: Name,
    description: Line(1024),
    evidence: Evidence,
    fingerprint: Digest,
    /** How often it was reported, the first time included; and when last. */
    count: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    last_seen_at: Instant,
    /** Whether only the recovery ceremony opens what was closed for it. */
    latched: Type.Boolean(),
    escalated: Type.Boolean(),
    containment_actions: Type.Array(ActionWord, { maxItems: containmentActions.length }),
    containment_results: Type.Array(ContainmentResult, { maxItems: containmentActions.length }),
    resolved_at: Type.Optional(Instant),
    acknowledged_at: Type.Optional(Instant),
    /** SHA-256 of the RFC 8785 form of what was reported first: id, created_at, class, severity, source, description, evidence. */
    hash: Digest,
  },
  closed,
);
export type Incident = Static<typeof Incident>;
export const incidentShape = shape("incident", Incident);

/** What GET-like queries filter by; a POST body, because there are no query strings. All optional. */
export const IncidentQuery = Type.Object(
  {
    class: Type.Optional(IncidentClassWord),
    state: Type.Optional(StateWord),
    severity: Type.Optional(SeverityWord),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 5000 })),
  },
  closed,
);
export type IncidentQuery = Static<typeof IncidentQuery>;

/** What GET /api/v1/incidents and POST …/query answer: worst first, then newest first. At most 1000 unless a query asks for more. */
export const incidentList = shape("incidents", Type.Array(Incident, { maxItems: 5000 }));

/** POST /api/v1/incidents/{get,resolve,acknowledge} and …/recovery/reattest. */
export const IncidentRef = Type.Object({ id: Type.String({ pattern: "^INC-\\d{8}-\\d{6}-\\d{4,12}$" }) }, closed);
export type IncidentRef = Static<typeof IncidentRef>;
export const incidentRef = shape("incident reference", IncidentRef);

/** POST /api/v1/recovery/ack: a person takes the responsibility, under a name. */
export const RecoveryAck = Type.Object({ id: IncidentRef.properties.id, operator: Line(256) }, closed);
export type RecoveryAck = Static<typeof RecoveryAck>;
export const recoveryAck = shape("recovery acknowledgement", RecoveryAck);

/** What has to happen before an incident can be resolved, and how far that is. */
export const Requirement = Type.Object(
  {
    incident_id: IncidentRef.properties.id,
    incident_class: IncidentClassWord,
    severity: SeverityWord,
    /** When the containment that the recovery is about was last changed. */
    required_after: Instant,
    containment_actions: Type.Array(ActionWord, { maxItems: containmentActions.length }),
    containment_results: Type.Array(ContainmentResult, { maxItems: containmentActions.length }),
    /** SHA-256 of the RFC 8785 form of what is recovered from; if it changes, acknowledgement and evidence are void. */
    containment_binding: Digest,
    containment_latch_active: Type.Boolean(),
    require_ack: Type.Boolean(),
    require_reattest: Type.Boolean(),
    acked_at: Type.Optional(Instant),
    acked_by: Type.Optional(Line(256)),
    re_attested_at: Type.Optional(Instant),
    /** By what kind of machine it was attested; "evaluation" is less than a quote of a TPM. */
    assurance: Type.Optional(oneOf(["hardware", "evaluation"])),
    /** SHA-256 of the RFC 8785 form of the signed state that was accepted. */
    attestation_evidence: Type.Optional(Digest),
    /** What is still closed, by name: agent, airlock, registry, vault. Empty when nothing is. */
    held_targets: Type.Array(oneOf(["agent", "airlock", "registry", "vault"]), { maxItems: 4 }),
    recovery_gate_released_at: Type.Optional(Instant),
    recovery_complete: Type.Boolean(),
  },
  closed,
);
export type Requirement = Static<typeof Requirement>;
export const requirementShape = shape("recovery requirement", Requirement);

/** GET /api/v1/recovery/status. */
export const recoveryStatus = shape(
  "recovery status",
  Type.Object({ pending_recoveries: Type.Array(Requirement, { maxItems: 5000 }), count: Count }, closed),
);

/** GET /api/v1/stats. */
export const incidentStats = shape(
  "incident statistics",
  Type.Object(
    {
      total_incidents: Count,
      open_incidents: Count,
      contained_count: Count,
      resolved_count: Count,
      by_class: Type.Record(IncidentClassWord, Count),
      open_by_severity: Type.Record(SeverityWord, Count),
      /** Reports that found no room and were only counted. */
      overflow_count: Count,
      store_seq: Count,
      store_head: Digest,
      audit_seq: Count,
      audit_head: Digest,
      policy_digest: Digest,
    },
    closed,
  ),
);

export const incidentQuery = shape("incident query", IncidentQuery);
