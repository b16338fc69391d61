import type { Evidence } from "@secai/kit/api/incidents";
import type { Report } from "@secai/kit/reporting";
import type { IntegrityState } from "./state.ts";
import { actions, digestOf, fingerprintOf, sortViolations, type Violation } from "./violation.ts";

/** Violations that a report names; the others are in its count and digest. */
const MAX_NAMED = 50;
/** What a report's evidence may weigh, in bytes of JSON: a receiver takes bodies of 64 KiB. */
export const MAX_EVIDENCE_BYTES = 56 * 1024;

export interface Occasion {
  readonly state: IntegrityState;
  readonly violations: readonly Violation[];
  /** RFC 3339, UTC. */
  readonly observedAt: string;
  readonly scanCount: number;
}

/**
 * One report of one standing set of violations. However many there are, it stays small enough to be delivered: mass tampering is what must
 * not go unreported. The whole list is bound by its digest and stands in the audit log and in /api/v1/status.
 */
export function buildReport(
  { state, violations, observedAt, scanCount }: Occasion,
  fingerprint = fingerprintOf(violations),
): Report {
  const sorted = sortViolations(violations);
  const model = sorted.find(({ model, category }) => category === "model_file" && model !== undefined);
  const isModel = sorted.some(({ category }) => category === "model_file");
  return {
    class: isModel ? "manifest_mismatch" : "integrity_violation",
    severity: state === "recovery_required" ? "critical" : "high",
    description: `${sorted.length} integrity violations, state ${state}`,
    fingerprint,
    observed_at: observedAt,
    evidence: bounded(
      {
        state,
        violation_count: sorted.length,
        scan_count: scanCount,
        violations_sha256: digestOf(sorted),
        ...(model?.model === undefined ? {} : { model_path: model.path, model_name: model.model }),
      },
      sorted.slice(0, MAX_NAMED),
    ),
  };
}

/** As many violations as fit, in order. */
function bounded(head: Evidence, violations: readonly Violation[]): Evidence {
  const rows = violations.map(({ category, path, kind, expected, actual }) => ({
    category,
    path,
    kind,
    expected,
    actual,
    action: actions[category],
  }));
  while (rows.length > 0 && Buffer.byteLength(JSON.stringify({ ...head, violations: rows })) > MAX_EVIDENCE_BYTES) rows.pop();
  return { ...head, named: rows.length, violations: rows };
}
