import { type ForensicBundle, type forensicIncidentShape, forensicInstant } from "@secai/formats/forensic";
import { integer, list, literal, nullable, object, type TypeOf, text } from "@secai/formats/shape";
import { sha256Shape } from "@secai/formats/shapes";

/** Names and values come from the target or from the caller: any text, to be shown with care. */
const anyText = text(/^[\s\S]*$/, 1 << 16);
const link = object({ seq: integer(0), mac: sha256Shape });
const word = text(/^[a-z][a-z0-9_.-]{0,63}$/, 64);

const incidentShape = object({
  id: text(/^INC-\d{8}-\d{6}-\d{4,12}$/, 64),
  class: word,
  severity: literal("low", "medium", "high", "critical"),
  state: literal("open", "contained", "containment_failed", "resolved", "acknowledged"),
  source: word,
  description: anyText,
  count: integer(1),
  createdAt: forensicInstant,
  lastSeenAt: forensicInstant,
  latched: literal(true, false),
  escalated: literal(true, false),
});

const summaryShape = object({
  exportedAt: forensicInstant,
  policyDigest: sha256Shape,
  /** Incidents that somebody still has to do something about, however far containment came. */
  unresolved: integer(0, 5000),
  incidents: list(incidentShape, { max: 5000 }),
  /** `first` is null where the bundle has no record. */
  audit: object({ records: integer(0, 1000), first: nullable(integer(0)), head: link }),
  storeHead: link,
});

const refusalShape = object({ code: text(/^[A-Z][A-Z0-9_]*$/, 64), expected: anyText, actual: anyText, fix: anyText });

/** What `secai verify forensic --json` prints: `summary` when it is accepted, `refusal` when it is rejected, never both. */
export const forensicReportShape = object(
  {
    schema: literal(1),
    kind: literal("forensic"),
    target: anyText,
    verdict: literal("accepted", "rejected"),
    /** SHA-256 of the SubjectPublicKeyInfo of the key that the caller gave. */
    key: sha256Shape,
  },
  { summary: summaryShape, refusal: refusalShape },
);
export type ForensicReport = TypeOf<typeof forensicReportShape>;
export type ForensicSummary = TypeOf<typeof summaryShape>;
export type ForensicRefusal = TypeOf<typeof refusalShape>;

type Incident = TypeOf<typeof forensicIncidentShape>;

/** What a verified bundle says, without the evidence, which stays in it. Pure. */
export function summaryOf(bundle: ForensicBundle): ForensicSummary {
  const { audit_entries: entries, audit_head: head } = bundle;
  return {
    exportedAt: bundle.exported_at,
    policyDigest: bundle.policy_digest,
    unresolved: bundle.incidents.filter(({ state }) => state !== "resolved" && state !== "acknowledged").length,
    incidents: bundle.incidents.map(incidentOf),
    audit: { records: entries.length, first: entries.length === 0 ? null : head.seq - entries.length + 1, head },
    storeHead: bundle.store_head,
  };
}

function incidentOf(incident: Incident): ForensicSummary["incidents"][number] {
  const { id, severity, state, source, description, count, latched, escalated } = incident;
  const times = { createdAt: incident.created_at, lastSeenAt: incident.last_seen_at };
  return { id, class: incident.class, severity, state, source, description, count, ...times, latched, escalated };
}
