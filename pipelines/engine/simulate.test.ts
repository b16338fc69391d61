import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { simulate, type TimedStep } from "./simulate.ts";

const step = (id: string, durationMs: number, ...needs: string[]): TimedStep => ({ id, durationMs, needs, needsWorker: true });
const walls = (steps: readonly TimedStep[], workers: readonly number[]) =>
  simulate(steps, workers).byWorkers.map(({ wallMs }) => wallMs);

test("a need that is not there, or stands later, is refused", () => {
  expect(() => simulate([step("a", 1, "b")], [1])).toThrow(RangeError);
  expect(() => simulate([step("a", 1, "b"), step("b", 1)], [1])).toThrow(RangeError);
});
for (const workers of [0, -1, 1.5, Number.NaN])
  test(`${workers} workers are refused`, () => expect(() => simulate([step("a", 1)], [workers])).toThrow(RangeError));

test("no steps take no time", () =>
  expect(simulate([], [1])).toEqual({ totalMs: 0, criticalMs: 0, criticalPath: [], byWorkers: [{ workers: 1, wallMs: 0 }] }));

test("a diamond: the longer side is critical", () => {
  const steps = [step("a", 10), step("left", 5, "a"), step("right", 20, "a"), step("end", 1, "left", "right")];
  expect(simulate(steps, [])).toMatchObject({ totalMs: 36, criticalMs: 31, criticalPath: ["a", "right", "end"] });
  expect(walls(steps, [1, 2, 8])).toEqual([36, 31, 31]);
});

test("the first that is ready runs first, also when it stands later", () => {
  const steps = [step("slow", 10), step("quick", 1), step("after-slow", 1, "slow"), step("after-quick", 20, "quick")];
  expect(walls(steps, [2])).toEqual([21]);
});

test("a fetch holds no worker", () => {
  const steps = [{ ...step("fetch", 100), needsWorker: false }, step("a", 100), step("b", 1, "fetch", "a")];
  expect(walls(steps, [1])).toEqual([101]);
});

const graphs = fc
  .array(fc.record({ durationMs: fc.nat(1000), picks: fc.array(fc.nat(), { maxLength: 3 }) }), { maxLength: 12 })
  .map((rows) =>
    rows.map(({ durationMs, picks }, index) => {
      const needs = index === 0 ? [] : [...new Set(picks.map((pick) => String(pick % index)))];
      return step(String(index), durationMs, ...needs);
    }),
  );
describe("any graph", () => {
  test("takes at least its longest chain and its share of work, and at most everything in a row", () => {
    fc.assert(
      fc.property(graphs, fc.integer({ min: 1, max: 6 }), (steps, workers) => {
        const { totalMs, criticalMs, byWorkers } = simulate(steps, [workers]);
        const wallMs = byWorkers[0]?.wallMs ?? Number.NaN;
        expect(wallMs).toBeGreaterThanOrEqual(criticalMs);
        expect(wallMs).toBeGreaterThanOrEqual(totalMs / workers);
        expect(wallMs).toBeLessThanOrEqual(totalMs);
      }),
    );
  });
  test("takes everything in a row with one worker, and its longest chain with one for each step", () => {
    fc.assert(
      fc.property(graphs, (steps) => {
        const { totalMs, criticalMs, byWorkers } = simulate(steps, [1, Math.max(1, steps.length)]);
        expect(byWorkers.map(({ wallMs }) => wallMs)).toEqual([totalMs, criticalMs]);
      }),
    );
  });
});
