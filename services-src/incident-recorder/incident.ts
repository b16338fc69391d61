import type { Evidence, Incident, IncidentReport, Severity } from "@secai/kit/api/incidents";
import { canonicalJson, sha256 } from "@secai/kit/digest";
import { actionsFor, type ContainmentPolicy, wantedEvents } from "./policy.ts";
import type { Stored } from "./state.ts";

/** What the incident is a repetition of, if the reporter names nothing itself. */
export function fingerprintOf({ fingerprint, class: name, source, description }: IncidentReport): string {
  return fingerprint ?? sha256(canonicalJson({ class: name, source, description }));
}

export interface Birth {
  readonly report: IncidentReport;
  /** Which incident this is, counted from 1 for ever. */
  readonly number: number;
  readonly severity: Severity;
  readonly escalated: boolean;
  /** Evidence beyond this many bytes is left out, and the incident says so. */
  readonly evidenceRoom: number;
  readonly overflow: boolean;
  readonly nowMs: number;
}

export function buildStored(policy: ContainmentPolicy, birth: Birth): Stored {
  const { report, severity, nowMs } = birth;
  const now = new Date(nowMs).toISOString();
  const evidence = fittedEvidence(report.evidence ?? {}, birth.evidenceRoom);
  const first = {
    id: incidentId(nowMs, birth.number),
    created_at: now,
    class: report.class,
    severity,
    source: report.source,
    description: report.description,
    evidence,
  };
  const incident: Incident = {
    ...first,
    state: "open",
    fingerprint: fingerprintOf(report),
    count: 1,
    last_seen_at: now,
    latched: policy.classes[report.class].latched,
    escalated: birth.escalated,
    containment_actions: [...actionsFor(policy, report.class, severity)],
    containment_results: [],
    hash: sha256(canonicalJson(first)),
  };
  const unannounced = birth.escalated ? wantedEvents(policy, "escalated") : [];
  return {
    incident,
    reached: [],
    evidenceBytes: bytesOf(evidence),
    overflow: birth.overflow,
    ...(unannounced.length === 0 ? {} : { unannounced }),
  };
}

/** INC-YYYYMMDD-HHMMSS-NNNN: the number alone makes it unique, whatever the clock says. */
function incidentId(nowMs: number, number: number): string {
  const [, date = "", time = ""] = /^(.{10})T(.{8})/.exec(new Date(nowMs).toISOString()) ?? [];
  return `INC-${date.replaceAll("-", "")}-${time.replaceAll(":", "")}-${String(number).padStart(4, "0")}`;
}

/** What containment needs stays in any case. */
function fittedEvidence(evidence: Evidence, room: number): Evidence {
  const bytes = bytesOf(evidence);
  if (bytes <= room) return evidence;
  const kept = Object.entries(evidence).filter(([key, value]) => key.startsWith("model_") && typeof value === "string");
  return {
    ...Object.fromEntries(kept.slice(0, 8)),
    evidence_left_out: true,
    evidence_bytes: bytes,
    evidence_sha256: sha256(canonicalJson(evidence)),
  };
}

const bytesOf = (evidence: Evidence): number => Buffer.byteLength(canonicalJson(evidence));
