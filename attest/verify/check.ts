import type { CheckCode } from "./check-codes.ts";

/** What one check found about one subject. Nothing is ever "skipped": a reader can tell all four apart. */
export type CheckResult =
  | { readonly status: "pass" }
  | { readonly status: "fail"; readonly code: string; readonly expected: string; readonly actual: string }
  /** Evidence that the check needs is not there or cannot be read; `code` names it. Never counts as acceptance. */
  | { readonly status: "undecided"; readonly code: string; readonly detail: string }
  /** Legally absent: declared by the signed manifest or by the caller. Neither pass nor fail. */
  | { readonly status: "not_present"; readonly detail: string };

export type CheckStatus = CheckResult["status"];

/** A result about one of several subjects of a check, e.g. one file. */
export type SubjectResult = CheckResult & { readonly subject: string };

/** A pure question about evidence that was gathered before. It knows no other check and does no I/O. */
export interface Check<Evidence, Policy> {
  /** Stable: scripts and reports refer to it, released ids are never reused. */
  readonly id: string;
  /** One sentence for people: what holds when it passes. */
  readonly title: string;
  /** For `--explain`: what is compared with what, and why that matters. */
  readonly asks?: string;
  /** Codes of its own that it can give; a parser's errors come on top where it reads a document. */
  readonly codes?: readonly CheckCode[];
  /**
   * Whether its subject may be absent by declared choice. Such a check is content with "not present" for all of its subjects; every
   * other one must pass at least once.
   */
  readonly optional?: true;
  run(evidence: Evidence, policy: Policy): CheckResult | readonly SubjectResult[];
}

export type CheckOutcome = CheckResult & { readonly id: string; readonly title: string; readonly subject?: string };

export type Verdict = "accepted" | "rejected" | "undecided";

export const pass: CheckResult = { status: "pass" };
export const fail = (code: string, expected: string, actual: string): CheckResult => ({ status: "fail", code, expected, actual });
export const undecided = (code: string, detail: string): CheckResult => ({ status: "undecided", code, detail });
export const notPresent = (detail: string): CheckResult => ({ status: "not_present", detail });

/** Ties a result to its subject. */
export const about = (subject: string, result: CheckResult): SubjectResult => ({ ...result, subject });

/** Runs every check, in order. An exception is our bug, not evidence: it is not caught here. */
export function runChecks<Evidence, Policy>(
  checks: readonly Check<Evidence, Policy>[],
  evidence: Evidence,
  policy: Policy,
): readonly CheckOutcome[] {
  return checks.flatMap((check) => {
    const found = check.run(evidence, policy);
    const results: readonly (CheckResult & { readonly subject?: string })[] = isResult(found) ? [found] : found;
    return results.map((result) => ({ id: check.id, title: check.title, ...result }));
  });
}

function isResult(found: CheckResult | readonly SubjectResult[]): found is CheckResult {
  return !Array.isArray(found);
}

/** Ids of the checks that must have passed, given what was found: a legally absent subject owes no pass, a check that left nothing does. */
export function requiredOf<Evidence, Policy>(
  checks: readonly Check<Evidence, Policy>[],
  outcomes: readonly CheckOutcome[],
): readonly string[] {
  const present = new Set(outcomes.filter(({ status }) => status !== "not_present").map(({ id }) => id));
  const seen = new Set(outcomes.map(({ id }) => id));
  const absent = (id: string) => seen.has(id) && !present.has(id);
  return checks.filter(({ id, optional }) => !(optional === true && absent(id))).map(({ id }) => id);
}

/**
 * Accepts only if every required check ran and passed: one failure rejects, anything undecided (or a required check that left no
 * pass behind) leaves the question open. An empty list is not acceptance.
 */
export function verdictOf(outcomes: readonly CheckOutcome[], required: readonly string[]): Verdict {
  if (outcomes.some(({ status }) => status === "fail")) return "rejected";
  if (required.length === 0 || outcomes.some(({ status }) => status === "undecided")) return "undecided";
  const passed = new Set(outcomes.filter(({ status }) => status === "pass").map(({ id }) => id));
  return required.every((id) => passed.has(id)) ? "accepted" : "undecided";
}
