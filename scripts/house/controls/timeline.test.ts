import { describe, expect, test } from "vitest";
import type { Timeline } from "./controls.ts";
import { type Evidence, loadEvidence, withReports } from "./evidence.ts";
import { exampleRelease, makeKey, reportOf } from "./example.test-data.ts";
import { measuresOf, requireMoments, timelinePage } from "./timeline.ts";

const key = makeKey();
const timeline: Timeline = {
  scenario: "a.story",
  zeros: ["begun", "hurt"],
  moments: [
    { name: "begun", what: "It begins." },
    { name: "hurt", after: "begun", what: "Something happens." },
    { name: "healed", after: "hurt", what: "It is well again." },
  ],
};
const scenarios = [{ suite: "acceptance", id: "a.story", title: "The story" }];
const TIMES = { begun: 1000, hurt: 31_000, healed: 32_500, other: 5 };

async function evidenceWith(
  measures: Readonly<Record<string, number>>,
  outcome: "passed" | "failed" = "passed",
): Promise<Evidence> {
  const report = reportOf("acceptance", { "a.story": { outcome, measures }, "boot.first": { measures: { begun: 7 } } });
  using release = exampleRelease(key, report);
  return withReports(await loadEvidence(release.path, key.key), [report]);
}

const broken = expect.objectContaining({ code: "CONTROL_TIMELINE_BROKEN" });
describe("a scenario that passed is refused", () => {
  const { healed: _healed, ...unfinished } = TIMES;
  const rejected = [
    { name: "without a moment", measures: unfinished },
    { name: "without any moment", measures: {} },
    { name: "with a moment before the one that it follows", measures: { ...TIMES, healed: 30_999 } },
    { name: "with the first moment last", measures: { ...TIMES, begun: 40_000 } },
  ];
  for (const { name, measures } of rejected)
    test(name, async () => {
      const evidence = await evidenceWith(measures);
      expect(() => timelinePage(timeline, scenarios, evidence)).toThrow(broken);
    });
});

test("two moments of the same millisecond are in order", () =>
  expect(requireMoments(timeline, { begun: 1, hurt: 1, healed: 1 })).toBeUndefined());

test("times are shown since each zero, from where it is on", async () => {
  const page = timelinePage(timeline, scenarios, await evidenceWith(TIMES));
  expect(page).toContain("| moment | ms since begun | ms since hurt | what happened |");
  expect(page).toContain("| begun | 0 |  | It begins. |");
  expect(page).toContain("| hurt | 30000 | 0 | Something happens. |");
  expect(page).toContain("| healed | 31500 | 1500 | It is well again. |");
});

describe("no times are shown", () => {
  const cases = [
    { name: "without evidence", evidence: async () => undefined },
    { name: "of a scenario that failed", evidence: () => evidenceWith(TIMES, "failed") },
    { name: "without the report", evidence: async () => ({ ...(await evidenceWith(TIMES)), reports: new Map() }) },
  ];
  for (const { name, evidence } of cases)
    test(name, async () => {
      const page = timelinePage(timeline, scenarios, await evidence());
      expect(page).toContain("No times are recorded");
      expect(page).not.toContain("31500");
    });
  test("of a story that no suite tells", () => {
    const { scenario: _scenario, ...rest } = timeline;
    expect(timelinePage({ ...rest, reason: "Nobody wrote it." }, scenarios, undefined)).toContain(
      "Not recorded: Nobody wrote it.",
    );
  });
  test("of a scenario that no suite has", () =>
    expect(() => timelinePage({ ...timeline, scenario: "a.tale" }, scenarios, undefined)).toThrow(
      expect.objectContaining({ code: "CONTROL_SCENARIO_UNKNOWN" }),
    ));
});

describe("measuresOf", () => {
  const odd = ["{}", "[]", "null", '{"scenarios":{}}', '{"scenarios":[null,1,{"id":"a.story"}]}'];
  for (const text of [...odd, '{"scenarios":[{"id":"a.story","measures":{"begun":"1"}}]}'])
    test(`finds nothing in ${text}`, () => expect(measuresOf(Buffer.from(text), "a.story")).toEqual({}));
});
