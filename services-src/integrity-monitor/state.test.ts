import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type IntegrityState,
  integrityStates,
  judge,
  type Latch,
  latchAfter,
  latchReported,
  MAX_KEPT,
  MAX_SEEN,
  openLatch,
} from "./state.ts";
import { type Category, categories, fingerprintOf, type Violation, violation } from "./violation.ts";

const NOW = "2026-01-01T00:00:00.000Z";
const one = (category: Category, path = "/a"): Violation => violation(category, path, "changed", "x", "y");
const rank = (state: IntegrityState): number => integrityStates.indexOf(state);

const judged: readonly { name: string; violations: readonly Violation[]; state: IntegrityState }[] = [
  { name: "nothing", violations: [], state: "trusted" },
  { name: "one policy", violations: [one("policy_file")], state: "degraded" },
  { name: "two small ones", violations: [one("mount"), one("listener")], state: "degraded" },
  { name: "three small ones", violations: [one("mount"), one("listener"), one("state_file")], state: "recovery_required" },
  ...(["service_binary", "trust_material", "firewall"] as const).map((category) => ({
    name: `one ${category}`,
    violations: [one(category)],
    state: "recovery_required" as const,
  })),
];
for (const { name, violations, state } of judged)
  test(`${name} is ${state}`, () => {
    expect(judge(violations, 3)).toBe(state);
  });

describe("the latch", () => {
  test("stays when what stood is right again", () => {
    const fallen = latchAfter(openLatch, [one("policy_file")], [], 3, NOW);
    const after = latchAfter(fallen, [], [], 3, "2027-01-01T00:00:00.000Z");
    expect(after).toMatchObject({ state: "degraded", since: NOW, reasons: [one("policy_file")], distinct: 1 });
  });

  test("falls for what was done and undone between two looks", () => {
    expect(latchAfter(openLatch, [], [one("state_file")], 3, NOW)).toMatchObject({ state: "degraded", since: NOW });
  });

  test("adds up small tampering, each undone before the next", () => {
    const states = ["/a", "/b", "/c"].reduce<Latch>((latch, path) => {
      const seen = latchAfter(latch, [one("policy_file", path)], [], 3, NOW);
      return latchAfter(seen, [], [], 3, NOW);
    }, openLatch);
    expect(states).toMatchObject({ state: "recovery_required", distinct: 3 });
  });

  test("does not add up the same fault", () => {
    const latch = Array.from({ length: 10 }).reduce<Latch>((before) => latchAfter(before, [one("mount")], [], 3, NOW), openLatch);
    expect(latch).toMatchObject({ state: "degraded", distinct: 1 });
  });

  test("asks for one report of a standing set, again only when it changes or comes back", () => {
    const [a, b] = [one("mount", "/a"), one("mount", "/b")];
    let latch = latchAfter(openLatch, [a], [], 3, NOW);
    expect(latch.unreported).toBe(fingerprintOf([a]));
    latch = latchReported(latch, fingerprintOf([a]));
    latch = latchAfter(latch, [a], [], 3, NOW);
    expect(latch.unreported).toBeNull();
    latch = latchAfter(latch, [b, a], [], 3, NOW);
    expect(latch.unreported).toBe(fingerprintOf([a, b]));
    latch = latchReported(latch, fingerprintOf([a, b]));
    latch = latchAfter(latch, [], [], 3, NOW);
    expect(latch).toMatchObject({ unreported: null, reported: null });
    expect(latchAfter(latch, [a], [], 3, NOW).unreported).toBe(fingerprintOf([a]));
  });

  test("a report that is not sent yet is not forgotten when the set goes away", () => {
    const latch = latchAfter(latchAfter(openLatch, [one("mount")], [], 3, NOW), [], [], 3, NOW);
    expect(latch.unreported).toBe(fingerprintOf([one("mount")]));
  });

  const violations = fc.array(
    fc
      .record({ category: fc.constantFrom(...categories), path: fc.string({ maxLength: 600 }) })
      .map(({ category, path }) => one(category, path)),
    { maxLength: 400 },
  );
  test("only ever gets worse, and stays bounded", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(violations, violations), { maxLength: 6 }), (looks) => {
        let latch = openLatch;
        for (const [standing, noticed] of looks) {
          const next = latchAfter(latch, standing, noticed, 3, NOW);
          expect(rank(next.state)).toBeGreaterThanOrEqual(rank(latch.state));
          expect(rank(next.state)).toBeGreaterThanOrEqual(
            rank(judge([...standing, ...noticed], 3) === "trusted" ? "trusted" : "degraded"),
          );
          expect(next.reasons.length).toBeLessThanOrEqual(MAX_KEPT);
          expect(next.seen.length).toBeLessThanOrEqual(MAX_SEEN);
          latch = next;
        }
      }),
      { numRuns: 40 },
    );
  });
});

test("a fingerprint names a set: order and repetition do not matter, every member does", () => {
  const [a, b] = [one("mount", "/a"), one("listener", "/b")];
  expect(fingerprintOf([a, b, a])).toBe(fingerprintOf([b, a]));
  expect(fingerprintOf([a])).not.toBe(fingerprintOf([a, b]));
  expect(fingerprintOf([one("mount", "/ab")])).not.toBe(fingerprintOf([one("mount", "/a"), one("mount", "b")]));
});
