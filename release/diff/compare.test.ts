import fc from "fast-check";
import { expect, test } from "vitest";
import { compareReleases, ORDER_ITEM } from "./compare.ts";
import { type Fields, type ReleaseFacts, type Section, sections } from "./facts.ts";

const facts = (items: Readonly<Record<string, Fields>>, order?: readonly string[]): ReleaseFacts => {
  const section: Section = { items: new Map(Object.entries(items)), ...(order !== undefined && { order }) };
  return Object.fromEntries(sections.map((name) => [name, section])) as ReleaseFacts;
};

test("a change of order alone is one row, and none where items differ anyway", () => {
  const a = facts({ console: { value: "a" } }, ["x", "y"]);
  expect(compareReleases(a, facts({ console: { value: "a" } }, ["y", "x"])).rows).toContainEqual(
    expect.objectContaining({ item: ORDER_ITEM, before: { value: "x y" }, after: { value: "y x" } }),
  );
  const rows = compareReleases(a, facts({ console: { value: "b" } }, ["y", "x"])).rows;
  expect(rows.some(({ item }) => item === ORDER_ITEM)).toBe(false);
});

const anyFacts = fc
  .dictionary(fc.string(), fc.dictionary(fc.constantFrom("version", "sha256"), fc.string()))
  .map((items) => facts(items));

test("nothing differs from itself; the way back has the same rows with before and after exchanged", () => {
  fc.assert(
    fc.property(anyFacts, anyFacts, (a, b) => {
      expect(compareReleases(a, a).rows).toEqual([]);
      const back = compareReleases(b, a).rows.map(({ before, after, ...row }) => ({ ...row, before: after, after: before }));
      const turned = { added: "removed", removed: "added", changed: "changed" } as const;
      expect(back.map((row) => ({ ...row, change: turned[row.change] }))).toEqual(compareReleases(a, b).rows);
    }),
    { numRuns: 50 },
  );
});

test("what was planted is what is found", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { minLength: 3, maxLength: 9 }), ([gone = "", come = "", other = "", ...same]) => {
      const kept = Object.fromEntries(same.map((name) => [name, { version: "1" }]));
      const a = facts({ ...kept, [gone]: { version: "1" }, [other]: { version: "1" } });
      const b = facts({ ...kept, [come]: { version: "1" }, [other]: { version: "2" } });
      const found = compareReleases(a, b).rows.filter(({ section }) => section === "packages");
      const planted = [`removed ${gone}`, `added ${come}`, `changed ${other}`];
      expect(found.map(({ change, item }) => `${change} ${item}`).toSorted()).toEqual(planted.toSorted());
    }),
    { numRuns: 50 },
  );
});
