import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BootcRecipe, isBootc, loadRecipe } from "../recipe/recipe.ts";
import { bootcFixture } from "./bootc-lock.test-data.ts";
import { type BootcLock, bootcLockDate, formatBootcLock, nevra } from "./bootc-lock.ts";
import { checkBootcLock, requireMatchingBootcLock, requireResolved, unresolvedProblems } from "./check-bootc-lock.ts";
import { formatChanges, lockChanges } from "./diff.ts";
import { LockError } from "./errors.ts";
import { parseBootcLock } from "./load.ts";
import { lockPath } from "./lock.ts";
import { openImage } from "./update-bootc.ts";

const top = join(import.meta.dirname, "../..");
const committed = (id: string): string => readFileSync(join(top, lockPath(id)), "utf8");

async function silverblue(id = "silverblue-42"): Promise<BootcRecipe> {
  const recipe = await loadRecipe(top, `recipes/${id}.yaml`);
  if (!isBootc(recipe)) throw new Error("another kind");
  return recipe;
}

const codesOf = (work: () => unknown): string => {
  try {
    work();
    return "accepted";
  } catch (error) {
    return error instanceof LockError ? error.code : `crash: ${String(error)}`;
  }
};

describe("parseBootcLock", () => {
  const text = formatBootcLock(bootcFixture);
  const rejected: readonly (readonly [string, (text: string) => string])[] = [
    ["a trailing blank", (given) => `${given} `],
    ["another order of keys", (given) => given.replace(/"name":"base","repository":("[^"]*")/, '"repository":$1,"name":"base"')],
    ["a state that its list contradicts", (given) => given.replace('"state": "resolved"', '"state": "unresolved"')],
    ["an unknown key", (given) => given.replace('"kind": "bootc"', '"kind": "bootc",\n  "colour": "red"')],
    ["an upper-case digest", (given) => given.replace(/"digest":"sha256:[0-9a-f]{64}"/, `"digest":"sha256:${"A".repeat(64)}"`)],
    [
      "a digest that its first blob is not",
      (given) => given.replace(/"digest":"sha256:[0-9a-f]{64}"/, `"digest":"sha256:${"a".repeat(64)}"`),
    ],
    ["a signature that was not verified", (given) => given.replace(/"verifiedAt":"[^"]*"/, '"verifiedAt":null')],
    ["blobs that nobody has listed", (given) => given.replace(/"blobs":\[[^\]]*\]/, '"blobs":[]')],
    ["a package that climbs out", (given) => given.replace('"path":"Packages/n/', '"path":"../n/')],
    ["a package for another machine", (given) => given.replace('"arch":"x86_64"', '"arch":"s390x"')],
    ["an unsigned package", (given) => given.replace(/"signingKey":"[0-9a-f]*"/, '"signingKey":""')],
    ["packages out of order", (given) => given.replace('"name":"nftables"', '"name":"zz"')],
    ["no JSON", () => "{"],
  ];
  for (const [name, change] of rejected) {
    test(`refuses ${name}`, () => {
      expect(change(text)).not.toBe(text);
      expect(codesOf(() => parseBootcLock(change(text)))).toBe("LOCK_MALFORMED");
    });
  }
  test("refuses more than it would read", () =>
    expect(codesOf(() => parseBootcLock(" ".repeat((8 << 20) + 1)))).toBe("LOCK_MALFORMED"));
  test("gives back what was written", () => expect(parseBootcLock(text)).toEqual(JSON.parse(text)));
  test("returns or throws LockError, nothing else", () => {
    const edits = fc.tuple(fc.nat(text.length - 1), fc.string({ maxLength: 3 }));
    fc.assert(
      fc.property(edits, ([at, piece]) => {
        expect(codesOf(() => parseBootcLock(text.slice(0, at) + piece + text.slice(at + 1)))).toMatch(
          /^(accepted|LOCK_MALFORMED)$/,
        );
      }),
      { numRuns: 100 },
    );
  });
});

describe("an unresolved lock", () => {
  test.each(["silverblue-42", "silverblue-44"])("%s is committed, is its recipe's, and names what is open", async (id) => {
    const lock = parseBootcLock(committed(id));
    expect(checkBootcLock(await silverblue(id), lock)).toEqual([]);
    expect(unresolvedProblems(lock).map(({ root, code }) => `${root} ${code}`)).toEqual(
      ["base", "modules.nvidia", "imageBuilder", "rpms"].map((name) => `${name} UNRESOLVED`),
    );
  });
  test("is nothing to build from, and says what to run", () => {
    const lock = parseBootcLock(committed("silverblue-42"));
    expect(() => requireResolved(lock)).toThrow(
      expect.objectContaining({
        code: "LOCK_UNRESOLVED",
        exit: 3,
        fix: expect.stringContaining("secai lock update silverblue-42"),
      }),
    );
    expect(() => requireResolved(lock)).toThrow(/base, modules\.nvidia, imageBuilder, rpms/);
  });
  test("may hold a digest on record that was not verified here", () => {
    const [base] = parseBootcLock(committed("silverblue-44")).images;
    expect(base).toMatchObject({
      digest: expect.stringMatching(/^sha256:d1d10db6/),
      date: "2026-08-03",
      signer: { verifiedAt: null },
    });
  });
  test("has no date of its own", () => expect(bootcLockDate(parseBootcLock(committed("silverblue-42")))).toBeUndefined());
});

describe("checkBootcLock", () => {
  const change = (edit: Partial<BootcLock>): BootcLock => ({ ...bootcFixture, ...edit });
  const [base, ...others] = bootcFixture.images;
  if (base === undefined) throw new Error("the fixture has no base");
  const wrong: readonly (readonly [string, BootcLock, string])[] = [
    ["another recipe", change({ recipe: "silverblue-44" }), "RECIPE_DIFFERS"],
    ["another tag", change({ images: [{ ...base, tag: "41" }, ...others] }), "IMAGES_DIFFER"],
    ["another repository", change({ images: [{ ...base, repository: "ghcr.io/somebody/else" }, ...others] }), "IMAGES_DIFFER"],
    ["an image less", change({ images: others }), "IMAGES_DIFFER"],
    [
      "another kind of signer",
      change({ images: [{ ...base, signer: { kind: "unsigned upstream", identity: "x", verifiedAt: null } }, ...others] }),
      "IMAGES_DIFFER",
    ],
    [
      "a package that nobody asked for",
      change({ requested: { ...bootcFixture.requested, image: ["cowsay"] } }),
      "REQUEST_DIFFERS",
    ],
    ["a repository less", change({ repositories: [] }), "REPOSITORIES_DIFFER"],
    ["a root less", change({ roots: {} }), "ROOTS_DIFFER"],
    ["other suites", change({ archives: [] }), "SUITES_DIFFER"],
  ];
  test.each(wrong)("sees %s", async (_, lock, code) => {
    const recipe = await silverblue();
    expect(checkBootcLock(recipe, lock).map((problem) => problem.code)).toContain(code);
    expect(codesOf(() => requireMatchingBootcLock(recipe, lock))).toBe("LOCK_STALE");
  });
  test("has nothing to say of the fixture", async () => {
    expect(checkBootcLock(await silverblue(), bootcFixture)).toEqual([]);
    expect(codesOf(() => requireResolved(bootcFixture))).toBe("accepted");
  });
});

test("a diff of two locks names images and packages", () => {
  const [rpm, ...rest] = bootcFixture.rpms;
  const [base, ...images] = bootcFixture.images;
  if (rpm === undefined || base === undefined) throw new Error("the fixture is empty");
  const { repository } = base;
  const openSource = { repository, tag: "42", signer: { kind: "cosign-key", key: "k", identity: "i" } } as const;
  const before = {
    ...bootcFixture,
    images: [openImage("base", openSource), ...images],
  };
  const text = formatChanges(lockChanges(before, { ...bootcFixture, rpms: [{ ...rpm, version: "9" }, ...rest] }));
  expect(text).toContain(`~ base ${base.repository}:42@unresolved -> ${base.repository}:42@${base.digest}`);
  expect(text).toContain(`~ ${rpm.name} ${rpm.version}-${rpm.release} -> 9-${rpm.release}`);
});

test("a package is called by its NEVRA", () => {
  const rpm = { name: "a", version: "1", release: "2", arch: "noarch" };
  expect([nevra({ ...rpm, epoch: 0 }), nevra({ ...rpm, epoch: 3 })]).toEqual(["a-1-2.noarch", "a-3:1-2.noarch"]);
});
