import fc from "fast-check";
import { expect, test } from "vitest";
import { failedSuite, parseSuiteResult, summaryLine, sumOf, withExitStatus } from "./suites.ts";

const broken = [
  { name: "no JSON", text: "passed" },
  { name: "null", text: "null" },
  { name: "a missing count", text: '{"passed":1,"failed":0}' },
  { name: "a negative count", text: '{"passed":-1,"failed":0,"skipped":0}' },
  { name: "a fraction", text: '{"passed":1.5,"failed":0,"skipped":0}' },
  { name: "a count in a string", text: '{"passed":"1","failed":0,"skipped":0}' },
  { name: "nothing run", text: '{"passed":0,"failed":0,"skipped":0}' },
  { name: "a skip without a reason", text: '{"passed":3,"failed":0,"skipped":1}' },
  { name: "a skip with a blank reason", text: '{"passed":3,"failed":0,"skipped":[{"name":"x","reason":" "}]}' },
];
for (const { name, text } of broken) {
  test(`a result with ${name} is a failure`, () => expect(parseSuiteResult("s", text).failures).toHaveLength(1));
}

test("a result counts what it says", () => {
  const text = '{"passed":2,"failed":["s: boom"],"skipped":[{"name":"gpu","reason":"no device"}]}';
  const result = parseSuiteResult("s", text);
  expect(result).toEqual({ passed: 2, failures: ["s: boom"], skips: [{ name: "gpu", reason: "no device" }] });
  expect(summaryLine(sumOf([result, failedSuite("t: did not start")]))).toBe("2 passed, 2 failed, 1 skipped");
});

test("an empty run is a failure, and so is a run of skips alone", () => {
  expect(sumOf([]).failures).toEqual(["nothing ran"]);
  expect(sumOf([{ passed: 0, failures: [], skips: [{ name: "a", reason: "b" }] }]).failures).toEqual(["nothing ran"]);
});

test("a bad end with no failed test is a failure", () => {
  const green = { passed: 4, failures: [], skips: [] };
  expect(withExitStatus("s", green, 0)).toBe(green);
  expect(withExitStatus("s", green, 139).failures).toEqual(["s: exit status 139 without a failed test"]);
});

test("any text gives a result, and only a sound one gives no failure", () => {
  const anything = fc.oneof(fc.string(), fc.json());
  fc.assert(fc.property(anything, (text) => parseSuiteResult("s", text).failures.length > 0));
});
