import { parseRebuild } from "@secai/formats/rebuild";
import { expect, test } from "vitest";
import { compareBuilds } from "./compare.ts";

const a = "a".repeat(64);
const b = "b".repeat(64);
const expected = new Map([
  ["ROOT_HASH", a],
  ["disk.raw.zst", a],
  ["services/policy-engine.mjs", a],
  ["uki.efi", a],
]);
const having = (change: Readonly<Record<string, string | undefined>>) =>
  new Map(
    [...expected].flatMap(([name, digest]) => {
      const value = name in change ? change[name] : digest;
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
const compare = (change: Readonly<Record<string, string | undefined>>, otherKeys: readonly string[] = []) =>
  compareBuilds({ expected, actual: having(change), otherKeys });

test("the same files match", () => {
  expect(compare({})).toEqual({ verdict: "match", same: [...expected.keys()], differing: [] });
});
test("another file differs, and nothing explains it when the keys are the same", () => {
  expect(compare({ "uki.efi": b })).toMatchObject({
    verdict: "differs",
    differing: [{ name: "uki.efi", expected: a, actual: b }],
  });
});
test("other keys explain what depends on them", () => {
  const { verdict, differing } = compare({ "uki.efi": b, "disk.raw.zst": b }, ["db.key"]);
  expect(verdict).toBe("explained");
  expect(differing.every(({ reason }) => reason?.includes("db.key"))).toBe(true);
});
for (const name of ["ROOT_HASH", "services/policy-engine.mjs"]) {
  test(`other keys do not explain ${name}, nor anything beside it`, () => {
    const { verdict, differing } = compare({ "uki.efi": b, [name]: b }, ["db.key"]);
    expect(verdict).toBe("differs");
    expect(differing.some(({ reason }) => reason !== undefined)).toBe(false);
  });
}
test("a file that was not made is a difference that keys do not explain", () => {
  expect(compare({ "uki.efi": undefined }, ["db.key"])).toMatchObject({ verdict: "differs", differing: [{ name: "uki.efi" }] });
});
test("a verdict that does not follow from its list is refused", () => {
  const rebuild = {
    ...{
      recipe: "small",
      version: "1.0",
      manifest: { sha256: a },
      builder: { id: "urn:x:y" },
      provenance: { expected: a, actual: a },
    },
    ...{ startedOn: "2026-01-01T00:00:00Z", finishedOn: "2026-01-01T00:01:00Z" },
  };
  expect(parseRebuild({ ...rebuild, ...compare({}) }).verdict).toBe("match");
  for (const verdict of ["match", "explained"])
    expect(() => parseRebuild({ ...rebuild, ...compare({ "uki.efi": b }), verdict })).toThrowError(
      expect.objectContaining({ code: "SCHEMA_MISMATCH" }),
    );
  expect(() => parseRebuild({ ...rebuild, verdict: "match", same: [], differing: [] })).toThrowError(
    expect.objectContaining({ code: "SCHEMA_MISMATCH" }),
  );
});
