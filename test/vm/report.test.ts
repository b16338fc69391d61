import { expect, test } from "vitest";
import { outcomeOf, VmError } from "./errors.ts";
import { buildReport, exitStatusOf, junitXml, type ScenarioResult, summaryLine } from "./report.ts";

const scenario = (id: string, outcome: ScenarioResult["outcome"], message?: string): ScenarioResult => ({
  ...{ id, title: `title of ${id}`, outcome, durationMs: 1500, measures: {} },
  ...(message === undefined ? {} : { message, code: "CODE" }),
});
const report = (...scenarios: ScenarioResult[]) =>
  buildReport({
    suite: "s",
    startedOn: "2026-01-01T00:00:00.000Z",
    durationMs: 9000,
    accelerator: "tcg",
    imageDigest: "sha256:00",
    scenarios,
  });

const statuses = [
  { name: "a failed test", outcomes: ["passed", "failed", "fault"], status: 1 },
  { name: "a fault of the bench", outcomes: ["passed", "fault"], status: 3 },
  { name: "nothing but missing capabilities", outcomes: ["missing"], status: 3 },
  { name: "nothing at all", outcomes: [], status: 3 },
  { name: "a missing capability beside a pass", outcomes: ["passed", "missing"], status: 0 },
] as const;
for (const { name, outcomes, status } of statuses) {
  test(`exit status after ${name}`, () => {
    expect(exitStatusOf(report(...outcomes.map((outcome, index) => scenario(`x${index}`, outcome, "m"))))).toBe(status);
  });
}

test("failures, faults and skips are three different reports, each with its reason", () => {
  const made = report(
    scenario("a", "passed"),
    scenario("b", "failed", "no\nmore"),
    scenario("c", "fault", "bench"),
    scenario("d", "missing", "kvm"),
  );
  expect(made.failed).toEqual(["s: b: no", "s: c: harness fault: bench"]);
  expect(made.skipped).toEqual([{ name: "d", reason: "kvm" }]);
  expect(summaryLine(made)).toBe("1 passed, 2 failed, 1 skipped");
});

test("JUnit keeps failures and errors apart and stays well-formed whatever the guest printed", () => {
  const xml = junitXml(report(scenario("b", "failed", `<&">\u0000\u001b[0m\ud800`), scenario("c", "fault", "x")));
  expect(xml).toContain('tests="2" failures="1" errors="1" skipped="0"');
  expect(xml).toContain('<failure type="CODE" message="&lt;&amp;&quot;&gt;  [0m "/>');
  expect(xml).toContain('<error type="CODE" message="x"/>');
  expect(xml).toContain('<property name="accelerator" value="tcg"/>');
});

test("only a verdict on the machine is a failed test", () => {
  expect(outcomeOf(new VmError("CHECK_FAILED"))).toBe("failed");
  expect(outcomeOf(new VmError("GUEST_TIMEOUT"))).toBe("failed");
  expect(outcomeOf(new VmError("HARNESS_TOOL_FAILED"))).toBe("fault");
  expect(outcomeOf(new VmError("CAPABILITY_MISSING"))).toBe("missing");
  expect(outcomeOf(new TypeError("ours"))).toBe("fault");
});
