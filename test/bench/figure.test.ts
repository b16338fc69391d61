import { expect, test } from "vitest";
import { buildBenchReport, type Figure, figureLines, isMet, notMeasured, peerOf } from "./figure.ts";

const base: Figure = { id: "a", title: "a thing", unit: "s" };
const most = (limit: number) => ({ limit, kind: "at most" }) as const;
const least = (limit: number) => ({ limit, kind: "at least" }) as const;

const judged: readonly { name: string; figure: Figure; met: boolean | undefined }[] = [
  { name: "just over", figure: { ...base, value: 2.01, budget: most(2) }, met: false },
  { name: "just under a rate", figure: { ...base, value: 14.9, budget: least(15) }, met: false },
  { name: "not measured", figure: notMeasured({ ...base, budget: most(2) }, new Error("no tool")), met: undefined },
  { name: "no budget", figure: { ...base, value: 1 }, met: undefined },
  { name: "at the limit", figure: { ...base, value: 2, budget: most(2) }, met: true },
  { name: "at the rate", figure: { ...base, value: 15, budget: least(15) }, met: true },
];
for (const { name, figure, met } of judged) test(`a budget: ${name}`, () => expect(isMet(figure)).toBe(met));

test("what was not measured has no number, but its reason", () => {
  const lines = figureLines([notMeasured({ ...base, budget: most(2) }, new Error("no tool\nsecond line"))]);
  expect(lines).toEqual(["a thing  -  at most 2 s  not measured", "    no tool"]);
});

test("a missed budget is loud, and the peer is named", () => {
  const figure: Figure = {
    ...base,
    value: 25,
    budget: most(12),
    peer: peerOf(25, "a copy", 5, "s"),
    parts: [{ name: "seal", value: 9 }],
  };
  expect(figureLines([figure])).toEqual(["a thing  25.0 s  at most 12 s  MISSED  5.00 x a copy (5.00 s)", "      9.00 s  seal"]);
});

test("the report says of each judged figure whether its budget was met", () => {
  const { figures } = buildBenchReport(
    "2026-01-01T00:00:00Z",
    judged.map(({ figure }) => figure),
  );
  expect(figures.map(({ met }) => met)).toEqual(judged.map(({ met }) => met));
});
