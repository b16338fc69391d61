import { parseJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { integer, list, literal, object, parseShape, type Shape, type TypeOf, table, text } from "@secai/formats/shape";
import { lineShape, nameShape, timestampShape } from "@secai/formats/shapes";
import { acceleratorShape, MAX_TEST_RESULT_BYTES, type TestResult, testResultBytes } from "@secai/formats/test-result";
import { ReleaseError } from "./errors.ts";

const anyText = text(/^[\s\S]*$/, 1 << 20);
const number: Shape<number> = {
  schema: { type: "number" },
  mistake: (value, path) => (typeof value === "number" && Number.isFinite(value) ? undefined : `${path} is not a number`),
};

/** What a suite of test/ writes with --json. */
const suiteReportShape = object({
  schema: literal(1),
  suite: nameShape,
  startedOn: timestampShape,
  durationMs: number,
  accelerator: acceleratorShape,
  imageDigest: text(/^sha256:[0-9a-f]{64}$/, 71),
  passed: integer(0),
  failed: list(anyText),
  skipped: list(object({ name: lineShape, reason: anyText })),
  scenarios: list(
    object(
      {
        id: lineShape,
        title: lineShape,
        outcome: literal("passed", "failed", "fault", "missing"),
        durationMs: number,
        measures: table(/^[ -~]{1,100}$/, number),
      },
      { code: anyText, message: anyText },
    ),
    { min: 1 },
  ),
});
type SuiteReport = TypeOf<typeof suiteReportShape>;
type Outcome = SuiteReport["scenarios"][number]["outcome"];

export interface TestResultFile {
  /** Name in the release. */
  readonly name: string;
  readonly content: Buffer;
  readonly result: TestResult;
}

/**
 * The test-result predicate of a suite's report. A fault of the bench counts as a failed test: nobody knows what it would have found. A test
 * that this host could not run is warned of.
 * @throws ReleaseError TEST_RESULT_FOREIGN (about another image); FormatError for what is no report
 */
export function testResultOf(report: Uint8Array, imageDigest: string): TestResultFile {
  const run = parseShape(suiteReportShape, parseJson(report, MAX_TEST_RESULT_BYTES), "a suite's report");
  if (run.imageDigest !== imageDigest) {
    throw new ReleaseError("TEST_RESULT_FOREIGN", {
      expected: `a run over ${imageDigest}`,
      actual: `${run.suite} over ${run.imageDigest}`,
    });
  }
  const having = (...outcomes: Outcome[]) =>
    run.scenarios
      .filter(({ outcome }) => outcomes.includes(outcome))
      .map(({ id }) => id)
      .toSorted();
  const lists = { passedTests: having("passed"), warnedTests: having("missing"), failedTests: having("failed", "fault") };
  const result: TestResult = {
    result: lists.failedTests.length > 0 ? "FAILED" : lists.warnedTests.length > 0 ? "WARNED" : "PASSED",
    configuration: [{ name: run.suite, digest: { sha256: sha256(report) }, annotations: annotationsOf(run) }],
    ...lists,
  };
  return { name: `tests/${run.suite}.json`, content: testResultBytes(result), result };
}

function annotationsOf({ suite, accelerator, imageDigest, startedOn, durationMs, scenarios }: SuiteReport) {
  const finished = new Date(Date.parse(startedOn) + durationMs).toISOString();
  const durationsMs = Object.fromEntries(scenarios.map(({ id, durationMs: took }) => [id, Math.round(took)]));
  return { suite, accelerator, imageDigest, startedOn, finishedOn: finished, durationsMs };
}

/** For people: "acceptance: 51 passed, 0 warned, 0 failed (tcg)". */
export function testResultLine({ result: { passedTests, warnedTests, failedTests, configuration } }: TestResultFile): string {
  const run = configuration[0]?.annotations;
  return `${run?.suite}: ${passedTests.length} passed, ${warnedTests.length} warned, ${failedTests.length} failed (${run?.accelerator})`;
}
