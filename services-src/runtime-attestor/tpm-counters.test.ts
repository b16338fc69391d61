import type { Quote } from "@secai/measure/quote";
import { expect, test } from "vitest";
import { countersOf, isBehind } from "./tpm-counters.ts";

const quote = (resetCount: number, restartCount: number, clockMs: number, clockSafe = true) =>
  ({ resetCount, restartCount, clockMs: BigInt(clockMs), clockSafe }) as Quote;

const cases: { name: string; last: Quote; now: Quote; behind: boolean }[] = [
  { name: "the same moment", last: quote(1, 1, 100), now: quote(1, 1, 100), behind: false },
  { name: "later", last: quote(1, 1, 100), now: quote(1, 1, 101), behind: false },
  { name: "earlier", last: quote(1, 1, 100), now: quote(1, 1, 99), behind: true },
  { name: "earlier, and unsafe: nothing was reset since", last: quote(1, 1, 100), now: quote(1, 1, 99, false), behind: true },
  { name: "resumed", last: quote(1, 1, 100), now: quote(1, 2, 100), behind: false },
  { name: "resumed less often", last: quote(1, 1, 100), now: quote(1, 0, 200), behind: true },
  { name: "reset", last: quote(1, 5, 100), now: quote(2, 0, 150), behind: false },
  { name: "reset after a power cut", last: quote(1, 0, 100), now: quote(2, 0, 50, false), behind: false },
  { name: "reset, with a clock that claims to be safe", last: quote(1, 0, 100), now: quote(2, 0, 50), behind: true },
  { name: "reset less often", last: quote(2, 0, 100), now: quote(1, 9, 900), behind: true },
  { name: "cleared", last: quote(2, 3, 100), now: quote(0, 0, 5), behind: true },
];
for (const { name, last, now, behind } of cases)
  test(`${name}: ${behind ? "behind" : "not behind"}`, () => expect(isBehind(now, countersOf(last))).toBe(behind));
