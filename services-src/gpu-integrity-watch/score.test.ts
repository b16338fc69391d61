import { probeStatuses } from "@secai/kit/api/gpu-integrity";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { actionTypes } from "./profile-schema.ts";
import { compositeScore, dueActions, trendOf, verdictOf } from "./score.ts";

const probe = (status: (typeof probeStatuses)[number], score = 0, weight = 1) => ({ status, score, weight });

describe("verdict", () => {
  const rows = [
    { name: "nothing looked at, no device", results: [], device: false, is: "no_device" },
    { name: "nothing looked at, a device", results: [], device: true, is: "unknown" },
    { name: "all skipped, a device", results: [probe("skip")], device: true, is: "unknown" },
    { name: "all skipped, no device", results: [probe("skip")], device: false, is: "no_device" },
    { name: "all passed, no device", results: [probe("pass")], device: false, is: "no_device" },
    { name: "all passed", results: [probe("pass"), probe("skip")], device: true, is: "healthy" },
    {
      name: "one failure among many that pass",
      results: [probe("fail", 0.01), ...Array.from({ length: 30 }, () => probe("pass"))],
      device: true,
      is: "critical",
    },
    { name: "a failure without a device", results: [probe("fail", 1)], device: false, is: "critical" },
    { name: "a small drift", results: [probe("drift", 0.01), probe("pass")], device: true, is: "warning" },
    { name: "an error", results: [probe("error", 0.3), probe("pass")], device: true, is: "warning" },
    { name: "drift of 0.9 on the mean", results: [probe("drift", 0.9)], device: true, is: "critical" },
    { name: "drift of just less", results: [probe("drift", 0.89)], device: true, is: "warning" },
  ] as const;
  for (const { name, results, device, is } of rows) test(name, () => expect(verdictOf(results, device)).toBe(is));

  test("no device is never healthy, and a failure is always critical", () => {
    const results = fc.array(
      fc.record({
        status: fc.constantFrom(...probeStatuses),
        score: fc.float({ min: 0, max: 1, noNaN: true }),
        weight: fc.constantFrom(0.4, 1),
      }),
    );
    fc.assert(
      fc.property(results, fc.boolean(), (some, device) => {
        expect(verdictOf(some, false)).not.toBe("healthy");
        expect(verdictOf([...some, probe("fail")], device)).toBe("critical");
      }),
    );
  });
});

test("the composite score is a weighted mean without what was skipped", () => {
  expect(compositeScore([])).toBe(0);
  expect(compositeScore([probe("skip", 1)])).toBe(0);
  expect(compositeScore([probe("fail", 1, 1), probe("pass", 0, 3), probe("skip", 1, 9)])).toBeCloseTo(0.25);
});

describe("trend", () => {
  const rows = [
    { scores: [], is: 0 },
    { scores: [1], is: 0 },
    { scores: [0, 1], is: 1 },
    { scores: [1, 0], is: -1 },
    { scores: [0, 0.5, 1], is: 0.75 },
    { scores: [...Array(50).fill(1), ...Array(10).fill(0)], is: 0 },
    { scores: [0, 0, 0, 0, 0, 1, 1, 1, 1, 1], is: 1 },
  ];
  for (const { scores, is } of rows)
    test(`${scores.length} scores: ${is}`, () => expect(trendOf(scores as number[])).toBeCloseTo(is));
});

describe("triggers", () => {
  const actions = [
    { name: "w", type: "alert", trigger: "warning" },
    { name: "c", type: "quarantine", trigger: "critical" },
  ] as const;
  const rows = [
    { verdict: "unknown", due: [] },
    { verdict: "no_device", due: [] },
    { verdict: "healthy", due: [] },
    { verdict: "warning", due: ["w"] },
    { verdict: "critical", due: ["w", "c"] },
  ] as const;
  for (const { verdict, due } of rows)
    test(verdict, () => expect(dueActions(verdict, [...actions]).map(({ name }) => name)).toEqual(due));
  test("nothing that an action can be runs a command", () => {
    expect(actionTypes).toEqual(["alert", "reload_requested", "quarantine", "none"]);
  });
});
