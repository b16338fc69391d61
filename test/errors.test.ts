import { beforeAll, expect, test } from "vitest";
import {
  cataloguePage,
  type FoundCatalogue,
  findCatalogues,
  parseCataloguePage,
  unusedCodes,
} from "../scripts/house/catalogues.ts";
import { readRepositoryFile } from "../scripts/house/tree.ts";

let catalogues: readonly FoundCatalogue[];
beforeAll(async () => {
  catalogues = await findCatalogues();
});

const byCode = (rows: readonly { readonly code: string }[]) => [...rows].sort((a, b) => (a.code < b.code ? -1 : 1));
const rowsOf = (found: readonly FoundCatalogue[]) =>
  found.flatMap(({ entries }) => Object.entries(entries).map(([code, { exit, meaning, fix }]) => ({ code, exit, meaning, fix })));

test("docs/errors.md and the catalogues name the same codes, exits, meanings and fixes", () => {
  const { rows, malformed } = parseCataloguePage(readRepositoryFile("docs/errors.md"));
  expect(malformed).toEqual([]);
  expect(byCode(rows)).toEqual(byCode(rowsOf(catalogues)));
  // After the readable comparison the strict one; mend with: node scripts/setup.mjs scripts/errors-doc.ts --write
  expect(readRepositoryFile("docs/errors.md")).toBe(cataloguePage(catalogues));
});

test("a code stands for one thing", () => {
  const codes = rowsOf(catalogues).map(({ code }) => code);
  expect(codes.length).toBeGreaterThan(0);
  expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
});

test("codes are screaming snake case; meanings and fixes are sentences", () => {
  const odd = rowsOf(catalogues).filter(
    ({ code, meaning, fix }) =>
      !/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/.test(code) || !/^\S.*\.$/s.test(meaning) || !/^\S.*\.$/s.test(fix),
  );
  expect(odd).toEqual([]);
});

test("no code is dead", () => {
  expect(unusedCodes(catalogues)).toEqual([]);
});

const sample: FoundCatalogue = {
  path: "x/errors.ts",
  name: "xErrors",
  entries: { A_B: { exit: 1, meaning: "Either | or.", fix: "Try `a | b`." } },
};
test("the page reads back what was written, bars included", () => {
  const { rows, malformed } = parseCataloguePage(cataloguePage([sample]));
  expect(malformed).toEqual([]);
  expect(rows).toEqual([{ code: "A_B", exit: 1, meaning: "Either | or.", fix: "Try `a | b`." }]);
});
for (const line of ["| `A_B` | 4 | m. | f. |", "| `A_B` | 1 | m. |", "| `a_b` | 1 | m. | f. |", "| `A_B` | 1 | m. | f. | g |"]) {
  test(`the row ${line} is malformed`, () => expect(parseCataloguePage(line).malformed).toEqual([line]));
}
test("a code that nobody names is dead", () => {
  const nobody = `NEVER_${"NAMED"}`;
  const entries = { [nobody]: { exit: 1, meaning: "M.", fix: "F." } } as const;
  expect(unusedCodes([{ ...sample, entries }])).toEqual([`x/errors.ts: ${nobody}`]);
});
