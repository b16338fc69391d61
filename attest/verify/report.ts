import type { CheckOutcome, CheckStatus, Verdict } from "./check.ts";
import { verdictOf } from "./check.ts";

/** Bumped when a field changes its meaning; fields may be added without. */
export const REPORT_SCHEMA = 1;

export interface Report {
  readonly schema: typeof REPORT_SCHEMA;
  readonly kind: "release" | "runtime";
  /** What was looked at: the directory or the machine, as the caller named it. */
  readonly target: string;
  readonly verdict: Verdict;
  /** What the caller trusted from the start, e.g. key fingerprints; never read from the target. */
  readonly trust: readonly string[];
  /** What the target says about itself; to be believed only when the verdict is "accepted". */
  readonly claims: Readonly<Record<string, string>>;
  readonly counts: Readonly<Record<CheckStatus, number>>;
  readonly checks: readonly CheckOutcome[];
}

export interface ReportInput {
  readonly kind: Report["kind"];
  readonly target: string;
  readonly trust: readonly string[];
  readonly claims: Readonly<Record<string, string>>;
  /** Ids of the checks that must have passed. */
  readonly required: readonly string[];
  readonly outcomes: readonly CheckOutcome[];
}

/** Pure: the report of a run, with the verdict that its outcomes allow. */
export function buildReport(input: ReportInput): Report {
  const count = (wanted: CheckStatus) => input.outcomes.filter(({ status }) => status === wanted).length;
  return {
    schema: REPORT_SCHEMA,
    kind: input.kind,
    target: input.target,
    verdict: verdictOf(input.outcomes, input.required),
    trust: input.trust,
    claims: input.claims,
    counts: {
      pass: count("pass"),
      fail: count("fail"),
      undecided: count("undecided"),
      not_present: count("not_present"),
    },
    checks: input.outcomes,
  };
}

const EXIT: Readonly<Record<Verdict, 0 | 1 | 3>> = { accepted: 0, rejected: 1, undecided: 3 };

/** Exit status for a verdict: 0 accepted, 1 rejected, 3 undecided. */
export function exitStatusOf(report: Report): 0 | 1 | 3 {
  return EXIT[report.verdict];
}
