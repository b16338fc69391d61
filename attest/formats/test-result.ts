import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { FormatError } from "./errors.ts";
import { integer, list, literal, object, parseShape, type TypeOf, table, text } from "./shape.ts";
import { lineShape, nameShape, sha256Shape, timestampShape } from "./shapes.ts";

/** Largest test-result document, in bytes. */
export const MAX_TEST_RESULT_BYTES = 4 << 20;

/** Whether the machine's processor was virtualised or emulated: timings of the two cannot be compared. */
export const acceleratorShape = literal("kvm", "tcg", "none");

/** The test configuration: the suite, under which accelerator and when it ran, and how long each test took. */
const configurationShape = object({
  name: nameShape,
  digest: object({ sha256: sha256Shape }),
  annotations: object({
    suite: nameShape,
    accelerator: acceleratorShape,
    /** "sha256:" and the digest of the image under test, disk.raw.zst. */
    imageDigest: text(/^sha256:[0-9a-f]{64}$/, 71),
    startedOn: timestampShape,
    finishedOn: timestampShape,
    /** Milliseconds by test. */
    durationsMs: table(/^[ -~]{1,300}$/, integer(0), { max: 10_000 }),
  }),
});

/**
 * in-toto test-result v0.1: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md, with one configuration whose
 * `digest` is that of the harness's raw report and whose `annotations` bind the result to image and accelerator.
 */
export const testResultShape = object({
  result: literal("PASSED", "WARNED", "FAILED"),
  configuration: list(configurationShape, { min: 1, max: 1 }),
  passedTests: list(lineShape),
  warnedTests: list(lineShape),
  failedTests: list(lineShape),
});
export type TestResult = TypeOf<typeof testResultShape>;

/**
 * A test result that agrees with itself: a pass without failures, no test twice.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH
 */
export function parseTestResult(bytes: Uint8Array): TestResult {
  const result = parseShape(testResultShape, parseCanonicalJson(bytes, MAX_TEST_RESULT_BYTES), "an in-toto test result v0.1");
  requireConsistent(result);
  return result;
}

function requireConsistent({ result, passedTests, warnedTests, failedTests, configuration }: TestResult): void {
  const all = [...passedTests, ...warnedTests, ...failedTests];
  if (new Set(all).size !== all.length) throw mismatch("each test once", "a test twice");
  const expected = failedTests.length > 0 ? "FAILED" : warnedTests.length > 0 ? "WARNED" : "PASSED";
  if (all.length === 0 || result !== expected) throw mismatch(`${expected}, of at least one test`, `${result} of ${all.length}`);
  const run = configuration[0]?.annotations;
  if (run !== undefined && Date.parse(run.startedOn) > Date.parse(run.finishedOn))
    throw mismatch("a run that starts before it ends", `${run.startedOn} to ${run.finishedOn}`);
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });

/** The bytes of a tests/<suite>.json. @throws FormatError SCHEMA_MISMATCH for a result that no reader accepts */
export function testResultBytes(result: TestResult): Buffer {
  const bytes = Buffer.from(`${canonicalJson(result)}\n`);
  parseTestResult(bytes);
  return bytes;
}
