import type { AttestationFailure } from "@secai/kit/api/attestation";
import type { CheckOutcome } from "@secai/verify/check";

/** What does not hold, before it is cut to what the wire takes. */
export interface Finding {
  /** Id of a check: of the verifier's, or one of ours. */
  readonly check: string;
  readonly code: string;
  readonly expected: string;
  readonly actual: string;
}

const MAX_CHARS = 512;
const MAX_FINDINGS = 256;
const oneLine = (text: string): string => text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ").slice(0, MAX_CHARS);

export function toFailures(findings: readonly Finding[]): AttestationFailure[] {
  return findings.slice(0, MAX_FINDINGS).map(({ check, code, expected, actual }) => ({
    check,
    code,
    expected: oneLine(expected),
    actual: oneLine(actual),
  }));
}

/** A check that did not pass, for whatever reason: what cannot be decided is no attestation. */
export function findingOf(outcome: CheckOutcome): readonly Finding[] {
  switch (outcome.status) {
    case "pass":
    case "not_present":
      return [];
    case "fail":
      return [{ check: outcome.id, code: outcome.code, expected: outcome.expected, actual: outcome.actual }];
    case "undecided":
      return [{ check: outcome.id, code: outcome.code, expected: "evidence", actual: outcome.detail }];
  }
}
