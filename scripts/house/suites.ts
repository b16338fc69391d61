/** What a suite reports about itself. A skip has a reason or counts as a failure. */
export interface SuiteResult {
  readonly passed: number;
  /** One line per failure. */
  readonly failures: readonly string[];
  readonly skips: readonly { readonly name: string; readonly reason: string }[];
}

export const failedSuite = (line: string): SuiteResult => ({ passed: 0, failures: [line], skips: [] });

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);

function parseSkip(value: unknown): { readonly name: string; readonly reason: string } {
  const { name, reason } = Object(value) as Record<string, unknown>;
  return { name: typeof name === "string" ? name : "unnamed", reason: typeof reason === "string" ? reason.trim() : "" };
}

/**
 * Reads a suite's result file: `{passed: N, failed: N | [line], skipped: N | [{name, reason}]}`. Anything else, an unreadable file or a
 * run of nothing is a failed suite, because a harness that broke must never look like a suite that passed.
 */
export function parseSuiteResult(suite: string, text: string): SuiteResult {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return failedSuite(`${suite}: its result file is not JSON`);
  }
  const { passed, failed, skipped } = Object(value) as Record<string, unknown>;
  if (!isCount(passed) || !(isCount(failed) || isList(failed)) || !(isCount(skipped) || isList(skipped))) {
    return failedSuite(`${suite}: its result file has not the members passed, failed and skipped`);
  }
  const failures = isCount(failed)
    ? Array.from({ length: failed }, () => `${suite}: a failure it named above`)
    : failed.map((line) => (typeof line === "string" ? line : JSON.stringify(line)));
  const listed = isCount(skipped)
    ? Array.from({ length: skipped }, () => ({ name: "unnamed", reason: "" }))
    : skipped.map(parseSkip);
  const reasonless = listed
    .filter(({ reason }) => reason === "")
    .map(({ name }) => `${suite}: ${name} was skipped without a reason`);
  const empty = passed + failures.length + listed.length === 0 ? [`${suite}: ran nothing`] : [];
  return { passed, failures: [...failures, ...reasonless, ...empty], skips: listed.filter(({ reason }) => reason !== "") };
}

/** The result of a suite whose process ended with `status`: a bad end without a failed test is itself a failure. */
export function withExitStatus(suite: string, result: SuiteResult, status: number): SuiteResult {
  if (status === 0 || result.failures.length > 0) return result;
  return { ...result, failures: [`${suite}: exit status ${status} without a failed test`] };
}

export function sumOf(results: readonly SuiteResult[]): SuiteResult {
  const sum = {
    passed: results.reduce((total, { passed }) => total + passed, 0),
    failures: results.flatMap(({ failures }) => failures),
    skips: results.flatMap(({ skips }) => skips),
  };
  return sum.passed + sum.failures.length === 0 ? { ...sum, failures: ["nothing ran"] } : sum;
}

/** The last line of a test run. */
export function summaryLine({ passed, failures, skips }: SuiteResult): string {
  return `${passed} passed, ${failures.length} failed, ${skips.length} skipped`;
}
