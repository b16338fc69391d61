import { describe, expect, test } from "vitest";
import { top } from "../tree.ts";
import { listScenarios, parseList, SUITES, scenarioNamed } from "./scenarios.ts";

const unlisted = expect.objectContaining({ code: "CONTROL_SUITE_UNLISTED" });
for (const list of [
  "",
  "\n",
  "boot.first fork\n",
  "boot.first elsewhere A title\n",
  "Error: no such file\n",
  "boot.first fork A\nnoise",
]) {
  test(`${JSON.stringify(list)} is no list of scenarios`, () => expect(() => parseList("acceptance", list)).toThrow(unlisted));
}

test("a suite's list is read, long ids too", () => {
  const long = `egress.${"x".repeat(60)}`;
  expect(parseList("adversarial", `root.data   boot       One bit | flipped\n${long} fork       Nothing leaves\n`)).toEqual([
    { suite: "adversarial", id: "root.data", title: "One bit | flipped" },
    { suite: "adversarial", id: long, title: "Nothing leaves" },
  ]);
});

describe("scenarioNamed", () => {
  const known = ["acceptance", "adversarial"].map((suite) => ({ suite, id: "twice.told", title: "T" }));
  const one = { suite: "acceptance", id: "boot.first", title: "T" };
  for (const id of ["boot.firs", "boot.first ", "boot", "twice.told"]) {
    test(`refuses ${JSON.stringify(id)}`, () =>
      expect(() => scenarioNamed(id, [...known, one], "a")).toThrow(
        expect.objectContaining({ code: "CONTROL_SCENARIO_UNKNOWN", actual: expect.stringContaining(id) }),
      ));
  }
  test("finds the one that has the id", () => expect(scenarioNamed("boot.first", [...known, one], "a")).toBe(one));
});

test("the suites list their scenarios, no id twice", async () => {
  const scenarios = await listScenarios(top);
  expect([...new Set(scenarios.map(({ suite }) => suite))]).toEqual([...SUITES]);
  const ids = scenarios.map(({ id }) => id);
  expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
});
