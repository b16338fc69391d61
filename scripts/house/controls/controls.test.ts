import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseControls } from "./controls.ts";
import { ControlError } from "./errors.ts";

const MOMENTS = "timeline:\n  scenario: a.story\n  zeros: [one]\n  moments:\n    - {name: one, what: It begins.}\n";
const TWO = "    - {name: two, after: one, what: It ends.}\n";
const page = (row: string, timeline = MOMENTS + TWO) => `schema: 1\ncontrols:\n  - ${row}\n${timeline}`;
const ROW = "{id: a, control: It holds., components: [here], scenarios: [a.b]}";
const exists = (path: string) => path === "here";

const rejected = [
  { name: "no proof and no reason", yaml: page("{id: a, control: It holds., components: [here]}") },
  {
    name: "a proof and a reason",
    yaml: page("{id: a, control: It holds., components: [here], scenarios: [a.b], reason: None.}"),
  },
  { name: "no scenario in the list", yaml: page("{id: a, control: It holds., components: [here], scenarios: []}") },
  { name: "a scenario twice", yaml: page("{id: a, control: It holds., components: [here], scenarios: [a.b, a.b]}") },
  { name: "a pattern for a scenario", yaml: page("{id: a, control: It holds., components: [here], scenarios: ['a.*']}") },
  { name: "a component that is gone", yaml: page("{id: a, control: It holds., components: [gone], scenarios: [a.b]}") },
  { name: "no component", yaml: page("{id: a, control: It holds., components: [], scenarios: [a.b]}") },
  { name: "an absolute path", yaml: page("{id: a, control: It holds., components: [/here], scenarios: [a.b]}") },
  { name: "an unknown member", yaml: page("{id: a, control: It holds., components: [here], scenarios: [a.b], status: passed}") },
  { name: "no promise", yaml: page("{id: a, components: [here], scenarios: [a.b]}") },
  {
    name: "a reference that is none",
    yaml: page("{id: a, control: It holds., components: [here], references: [SI-7.1], scenarios: [a.b]}"),
  },
  { name: "a key twice", yaml: page("{id: a, id: b, control: It holds., components: [here], scenarios: [a.b]}") },
  { name: "a control twice", yaml: page(`${ROW}\n  - ${ROW}`) },
  { name: "no timeline", yaml: page(ROW, "") },
  { name: "one moment", yaml: page(ROW, MOMENTS) },
  { name: "a moment after nothing", yaml: page(ROW, `${MOMENTS}    - {name: two, what: It ends.}\n`) },
  { name: "a moment after itself", yaml: page(ROW, `${MOMENTS}    - {name: two, after: two, what: It ends.}\n`) },
  { name: "a moment twice", yaml: page(ROW, `${MOMENTS}    - {name: one, after: one, what: It ends.}\n`) },
  { name: "a zero that is no moment", yaml: page(ROW, MOMENTS.replace("[one]", "[three]") + TWO) },
  { name: "a timeline without scenario or reason", yaml: page(ROW, MOMENTS.replace("  scenario: a.story\n", "") + TWO) },
  { name: "no YAML", yaml: "[" },
  { name: "another schema", yaml: page(ROW).replace("schema: 1", "schema: 2") },
  { name: "a megabyte", yaml: "#".repeat(1 << 20) },
];
describe("parseControls rejects", () => {
  for (const { name, yaml } of rejected) {
    test(name, () => expect(() => parseControls(yaml, exists)).toThrow(expect.objectContaining({ code: "CONTROLS_INVALID" })));
  }
});

test("parseControls returns or throws ControlError, nothing else", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (yaml) => {
      try {
        parseControls(yaml, exists);
      } catch (error) {
        expect(error).toBeInstanceOf(ControlError);
      }
    }),
  );
});

test("a control has scenarios, or a reason", () => {
  const { controls, timeline } = parseControls(
    page(`${ROW}\n  - {id: b, control: It holds., components: [here], references: [SI-7(1)], reason: Nobody can.}`),
    exists,
  );
  expect(controls.map(({ id, scenarios, reason }) => ({ id, scenarios, reason }))).toEqual([
    { id: "a", scenarios: ["a.b"], reason: undefined },
    { id: "b", scenarios: undefined, reason: "Nobody can." },
  ]);
  expect(timeline.moments).toHaveLength(2);
});
