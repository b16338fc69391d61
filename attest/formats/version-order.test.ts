import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import { compareVersions } from "./version-order.ts";

/** Oldest first; versions of one row are equal. The order of `systemd-analyze compare-versions`. */
const ascending: readonly (readonly string[])[] = [
  ["0"],
  ["0.1~beta"],
  ["0.1"],
  ["0.1.0"],
  ["0.9"],
  ["0.10", "0.010"],
  ["1~rc1"],
  ["1~rc2"],
  ["1~rc10"],
  ["1"],
  ["1-1"],
  ["1-2"],
  ["1^post"],
  ["1.0"],
  ["1.0.1"],
  ["1.0a"],
  ["1.0b"],
  ["1.2.3"],
  ["1.10"],
  ["9"],
  ["10"],
  ["99999999999999999999"],
  ["100000000000000000000"],
];
const flat = ascending.flatMap((row, rank) => row.map((version) => ({ version, rank })));
for (const a of flat) {
  test(`${a.version} among the others`, () => {
    for (const b of flat)
      assert.equal(compareVersions(a.version, b.version), Math.sign(a.rank - b.rank), `${a.version} and ${b.version}`);
  });
}

const version = fc.string({ unit: fc.constantFrom(..."0019azA.~-^+"), maxLength: 8 });
test("the order turns around and passes on, and every version equals itself", () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.equal(compareVersions(a, a), 0);
      assert.equal(compareVersions(a, b), -compareVersions(b, a) + 0);
      if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) assert.ok(compareVersions(a, c) <= 0);
    }),
    { numRuns: 2000 },
  );
});
