import { integer, list, literal, object, type TypeOf, table, text } from "@secai/formats/shape";
import { timestampShape } from "@secai/formats/shapes";
import type { CheckOutcome, CheckStatus, Verdict } from "./check.ts";
import { verdictOf } from "./check.ts";

/** Bumped when a field changes its meaning; fields may be added without. */
export const REPORT_SCHEMA = 1;

/** How old the trust data is that a verdict rests on, in whole days at the time it is judged at. */
export interface TrustAge {
  readonly keyManifestDays?: number;
  readonly channelDays?: number;
}

export interface Report {
  readonly schema: typeof REPORT_SCHEMA;
  readonly kind: "release" | "runtime" | "file";
  /** What was looked at: the directory, the file or the machine, as the caller named it. */
  readonly target: string;
  readonly verdict: Verdict;
  /** The moment that validity was judged at, RFC 3339; the caller's choice with --at. */
  readonly at?: string;
  /** Name of the caller's policy. */
  readonly policy?: string;
  /** What the caller trusted from the start, e.g. key fingerprints; never read from the target. */
  readonly trust: readonly string[];
  readonly trustAge?: TrustAge;
  /** What the target says about itself; to be believed only when the verdict is "accepted". */
  readonly claims: Readonly<Record<string, string>>;
  /** What did not decide anything and should still be known. */
  readonly warnings?: readonly string[];
  readonly counts: Readonly<Record<CheckStatus, number>>;
  readonly checks: readonly CheckOutcome[];
}

export interface ReportInput
  extends Pick<Report, "kind" | "target" | "at" | "policy" | "trust" | "trustAge" | "claims" | "warnings"> {
  /** Ids of the checks that must have passed. */
  readonly required: readonly string[];
  readonly outcomes: readonly CheckOutcome[];
}

/** Pure: the report of a run, with the verdict that its outcomes allow. */
export function buildReport({
  required,
  outcomes,
  kind,
  target,
  at,
  policy,
  trust,
  trustAge,
  claims,
  warnings,
}: ReportInput): Report {
  const count = (wanted: CheckStatus) => outcomes.filter(({ status }) => status === wanted).length;
  return {
    schema: REPORT_SCHEMA,
    kind,
    target,
    verdict: verdictOf(outcomes, required),
    ...(at !== undefined && { at }),
    ...(policy !== undefined && { policy }),
    trust,
    ...(trustAge !== undefined && { trustAge }),
    claims,
    ...(warnings !== undefined && { warnings }),
    counts: {
      pass: count("pass"),
      fail: count("fail"),
      undecided: count("undecided"),
      not_present: count("not_present"),
    },
    checks: outcomes,
  };
}

const EXIT: Readonly<Record<Verdict, 0 | 1 | 3>> = { accepted: 0, rejected: 1, undecided: 3 };

/** Exit status for a verdict: 0 accepted, 1 rejected, 3 undecided. */
export function exitStatusOf(report: Report): 0 | 1 | 3 {
  return EXIT[report.verdict];
}

/** Names and values come from the target: any text, to be shown with care. */
const anyText = text(/^[\s\S]*$/, 1 << 20);
const codeShape = text(/^[A-Z][A-Z0-9_]*$/, 64);
const outcomeHead = { id: text(/^[a-z][a-z0-9.-]*$/, 64), title: anyText } as const;
const outcomeShape = object(
  { ...outcomeHead, status: literal("pass", "fail", "undecided", "not_present") },
  { subject: anyText, code: codeShape, expected: anyText, actual: anyText, detail: anyText },
);

/** What `--json` prints. `code`, `expected` and `actual` come with "fail"; `code` and `detail` with "undecided"; `detail` with "not_present". */
export const reportShape = object(
  {
    schema: literal(REPORT_SCHEMA),
    kind: literal("release", "runtime", "file"),
    target: anyText,
    verdict: literal("accepted", "rejected", "undecided"),
    trust: list(anyText, { max: 1000 }),
    claims: table(/^[A-Za-z][A-Za-z0-9 -]*$/, anyText),
    counts: object({ pass: integer(0), fail: integer(0), undecided: integer(0), not_present: integer(0) }),
    checks: list(outcomeShape, { max: 100_000 }),
  },
  {
    at: timestampShape,
    policy: anyText,
    trustAge: object({}, { keyManifestDays: integer(-36_500), channelDays: integer(-36_500) }),
    warnings: list(anyText, { max: 10_000 }),
  },
);
export type ReportDocument = TypeOf<typeof reportShape>;
