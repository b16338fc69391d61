import { Count, closed, Digest } from "@secai/kit/api/common";
import {
  incidentList,
  incidentQuery,
  incidentRef,
  incidentReport,
  incidentShape,
  incidentStats,
  type Reporter,
  recoveryAck,
  recoveryStatus,
  reporters,
  requirementShape,
} from "@secai/kit/api/incidents";
import { reporterScope } from "@secai/kit/credential-names";
import type { Endpoint, Scope } from "@secai/kit/route";
import { shape } from "@secai/kit/schema";
import { Type } from "@sinclair/typebox";

const [first, ...others] = (Object.keys(reporters) as Reporter[]).map(reporterScope);
if (first === undefined) throw new TypeError("no reporters");
/** One scope a reporter; which incidents it may report is the recorder's to say. */
const reporterScopes: readonly [Scope, ...Scope[]] = [first, ...others];

const healthAnswer = shape(
  "liveness",
  Type.Object(
    {
      /** "degraded": it answers, but something could not be contained or nothing can be written. */
      status: Type.Union([Type.Literal("ok"), Type.Literal("degraded")]),
      open_incidents: Count,
      total_incidents: Count,
      containment_failed: Count,
      latched: Count,
      writable: Type.Boolean(),
    },
    closed,
  ),
);
const readyAnswer = shape("readiness", Type.Object({ status: Type.Literal("ready") }, closed));
const reloadAnswer = shape("reload", Type.Object({ status: Type.Literal("reloaded"), policy_digest: Digest }, closed));
/** Its own shape is the verifier's, which reads it elsewhere. */
const forensicAnswer = shape("forensic bundle", Type.Object({ schema: Type.Literal(2) }, { additionalProperties: true }));

const written = { STORE_UNAVAILABLE: 503, AUDIT_UNAVAILABLE: 503 } as const;
const one = { INCIDENT_UNKNOWN: 404 } as const;

/** Everything the recorder answers. */
export const endpoints = {
  health: { method: "GET", path: "/health", summary: "The process answers.", access: "open", response: healthAnswer },
  ready: {
    method: "GET",
    path: "/ready",
    summary: "Incidents can be kept and recorded, so they are accepted.",
    access: "open",
    response: readyAnswer,
    errors: written,
  },
  report: {
    method: "POST",
    path: "/api/v1/incidents/report",
    summary:
      "Something is wrong. 201: a new incident; 200: one that is known, counted on. Containment goes on behind the answer.",
    access: reporterScopes,
    request: incidentReport,
    response: incidentShape,
    errors: { ...written, REPORTER_SOURCE: 403, REPORTER_CLASS: 403, STORE_FULL: 507 },
  },
  list: {
    method: "GET",
    path: "/api/v1/incidents",
    summary: "The first 1000 incidents, worst first, then newest first.",
    access: ["read"],
    response: incidentList,
  },
  query: {
    method: "POST",
    path: "/api/v1/incidents/query",
    summary: "Incidents of a class, state or severity, in the same order.",
    access: ["read"],
    request: incidentQuery,
    response: incidentList,
  },
  get: {
    method: "POST",
    path: "/api/v1/incidents/get",
    summary: "One incident.",
    access: ["read"],
    request: incidentRef,
    response: incidentShape,
    errors: one,
  },
  stats: {
    method: "GET",
    path: "/api/v1/stats",
    summary: "Counts, and the heads of both chains.",
    access: ["read"],
    response: incidentStats,
  },
  resolve: {
    method: "POST",
    path: "/api/v1/incidents/resolve",
    summary: "It is dealt with. Needs a complete recovery ceremony where the incident asks for one.",
    access: ["operator"],
    request: incidentRef,
    response: incidentShape,
    errors: { ...written, ...one, INCIDENT_TRANSITION: 409, RECOVERY_REQUIRED: 409 },
  },
  acknowledge: {
    method: "POST",
    path: "/api/v1/incidents/acknowledge",
    summary: "A resolved incident has been looked at; nothing more happens to it.",
    access: ["operator"],
    request: incidentRef,
    response: incidentShape,
    errors: { ...written, ...one, INCIDENT_TRANSITION: 409 },
  },
  reload: {
    method: "POST",
    path: "/api/v1/reload",
    summary: "Reads the containment policy again; it is taken whole or not at all.",
    access: ["operator"],
    response: reloadAnswer,
    errors: { ...written, CONTAINMENT_RELOAD_FAILED: 500 },
  },
  ack: {
    method: "POST",
    path: "/api/v1/recovery/ack",
    summary: "A person answers for the recovery, under a name.",
    access: ["recovery-admin"],
    request: recoveryAck,
    response: requirementShape,
    errors: { ...written, ...one, RECOVERY_UNNEEDED: 409, RECOVERY_BUSY: 409 },
  },
  reattest: {
    method: "POST",
    path: "/api/v1/recovery/reattest",
    summary: "Has the machine attested anew, for a nonce of the recorder's.",
    access: ["recovery-admin"],
    request: incidentRef,
    response: requirementShape,
    errors: { ...written, ...one, RECOVERY_UNNEEDED: 409, RECOVERY_BUSY: 409, RECOVERY_REFUSED: 409, ATTESTOR_UNAVAILABLE: 503 },
  },
  recovery: {
    method: "GET",
    path: "/api/v1/recovery/status",
    summary: "What every unresolved incident still asks for.",
    access: ["recovery-admin", "read"],
    response: recoveryStatus,
  },
  forensic: {
    method: "GET",
    path: "/api/v1/forensic/export",
    summary: "All incidents and the end of the audit log, signed: `secai verify` checks it offline.",
    access: ["forensic"],
    response: forensicAnswer,
    errors: { AUDIT_UNAVAILABLE: 503, FORENSIC_TOO_LARGE: 503 },
  },
  metrics: { method: "GET", path: "/metrics", summary: "Prometheus metrics.", access: ["read"] },
} as const satisfies Readonly<Record<string, Endpoint>>;
