import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSha256 } from "@secai/formats/digest";
import fc from "fast-check";
import { expect, test } from "vitest";
import { loadDebianRecipe } from "../recipe/recipe.ts";
import { checkLock, requireMatchingLock } from "./check-lock.ts";
import { diffLocks, formatChanges } from "./diff.ts";
import { driftBetween, resolveDrift } from "./drift.ts";
import { LockError } from "./errors.ts";
import { loadLock, parseLock } from "./load.ts";
import { formatLock, type Lock, type LockedPackage, lockDate, lockPath } from "./lock.ts";

const top = join(import.meta.dirname, "../..");
const recipe = await loadDebianRecipe(top, "recipes/debian-13.yaml");
const text = readFileSync(join(top, lockPath(recipe.id)), "utf8");
const committed = parseLock(text);

function entry(name: string, version = "1.0"): LockedPackage {
  const path = `pool/main/${name}_${version.replace(/^[0-9]+:/, "")}_all.deb`;
  return { name, version, architecture: "all", archive: "debian", path, size: 10, sha256: parseSha256("ab".repeat(32)) };
}

const [suite] = committed.archives;
if (suite === undefined) throw new Error("the committed lock has no archives");
const small: Lock = {
  schema: 1,
  recipe: "small",
  architecture: "amd64",
  archives: [suite],
  requested: { image: ["bash"], build: [], machine: [] },
  roots: { image: [entry("bash"), entry("zlib1g")], build: [], machine: [] },
};
const withImage = (...image: LockedPackage[]): Lock => ({ ...small, roots: { ...small.roots, image } });

test("the committed lock is this recipe's", () => {
  expect(checkLock(recipe, committed)).toEqual([]);
  expect(() => requireMatchingLock(recipe, committed)).not.toThrow();
  expect(lockDate(committed)).toBeGreaterThan(1.7e9);
});

test("printing and parsing a lock gives the same lock", () => {
  expect(formatLock(parseLock(text))).toBe(text);
  expect(parseLock(formatLock(small))).toEqual(small);
});

const mangled: readonly { readonly name: string; readonly text: string }[] = [
  { name: "is empty", text: "" },
  { name: "is cut", text: text.slice(0, -3) },
  { name: "has a byte more", text: `${text}\n` },
  { name: "has other white space", text: JSON.stringify(small, null, 2) },
  { name: "has a key twice", text: formatLock(small).replace('"schema": 1,', '"schema": 1,\n  "schema": 1,') },
  { name: "has an unknown key", text: formatLock(small).replace('"schema": 1,', '"schema": 1,\n  "extra": 1,') },
  { name: "has another schema", text: formatLock(small).replace('"schema": 1', '"schema": 2') },
  { name: "has a package twice", text: formatLock(withImage(entry("bash"), entry("bash"))) },
  { name: "is not sorted", text: formatLock(withImage(entry("zlib1g"), entry("bash"))) },
  { name: "has a path that climbs", text: formatLock(withImage({ ...entry("bash"), path: "pool/../../x.deb" })) },
  { name: "has an absolute path", text: formatLock(withImage({ ...entry("bash"), path: "/x.deb" })) },
  { name: "has a size of zero", text: formatLock(withImage({ ...entry("bash"), size: 0 })) },
  { name: "has a fraction of a byte", text: formatLock(withImage({ ...entry("bash"), size: 1.5 })) },
  { name: "has a foreign architecture", text: formatLock(withImage({ ...entry("bash"), architecture: "s390x" })) },
  {
    name: "has two packages in one file name",
    text: formatLock(withImage(entry("bash"), { ...entry("dash"), path: entry("bash").path })),
  },
  { name: "has no signer", text: formatLock({ ...small, archives: [{ ...suite, signedBy: [] }] }) },
];
for (const { name, text: bad } of mangled) {
  test(`a lock that ${name} is refused`, () => {
    expect(() => parseLock(bad)).toThrow(expect.objectContaining({ code: "LOCK_MALFORMED" }));
  });
}

test("any change of a byte is refused or gives another lock", () => {
  const good = formatLock(small);
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
      const changed = good.slice(0, at) + character + good.slice(at + 1);
      fc.pre(changed !== good);
      try {
        expect(parseLock(changed)).not.toEqual(small);
      } catch (error) {
        expect(error).toBeInstanceOf(LockError);
      }
    }),
  );
});

test("a lock that is not there is LOCK_MISSING", async () => {
  await expect(loadLock(join(top, "recipes/locks/none.lock.json"))).rejects.toMatchObject({ code: "LOCK_MISSING", exit: 2 });
});

const stale: readonly { readonly code: string; readonly lock: Lock }[] = [
  { code: "RECIPE_DIFFERS", lock: { ...committed, recipe: "other" } },
  { code: "ARCHITECTURE_DIFFERS", lock: { ...committed, architecture: "arm64" } },
  { code: "SUITES_DIFFER", lock: { ...committed, archives: committed.archives.slice(0, 2) } },
  { code: "REQUEST_DIFFERS", lock: { ...committed, requested: { ...committed.requested, image: [] } } },
  {
    code: "PACKAGE_MISSING",
    lock: { ...committed, roots: { ...committed.roots, image: committed.roots.image.filter(({ name }) => name !== "nodejs") } },
  },
  {
    code: "PACKAGE_FOREIGN",
    lock: {
      ...committed,
      roots: { ...committed.roots, build: committed.roots.build.map((one) => ({ ...one, architecture: "arm64" })) },
    },
  },
  {
    code: "ARCHIVE_UNKNOWN",
    lock: {
      ...committed,
      roots: { ...committed.roots, build: committed.roots.build.map((one) => ({ ...one, archive: "else" })) },
    },
  },
];
for (const { code, lock } of stale) {
  test(`checkLock finds ${code}`, () => {
    expect(checkLock(recipe, lock).map((problem) => problem.code)).toContain(code);
    expect(() => requireMatchingLock(recipe, lock)).toThrow(expect.objectContaining({ code: "LOCK_STALE" }));
  });
}

test("a removal of a package that never comes is told", () => {
  const changed = { ...recipe, remove: { ...recipe.remove, packages: ["no-such-package"] } };
  expect(checkLock(changed, committed).map(({ code }) => code)).toEqual(["REMOVAL_UNKNOWN"]);
});

test("diffLocks says what was added, removed and changed, also when only the bytes did", () => {
  const before = withImage(entry("bash"), entry("dash"), entry("sed"));
  const after = withImage(entry("bash", "1:2.0"), { ...entry("sed"), sha256: parseSha256("cd".repeat(32)) }, entry("tar"));
  expect(diffLocks(before, after)).toEqual([
    { kind: "changed", root: "image", name: "bash", from: "1.0", to: "1:2.0" },
    { kind: "removed", root: "image", name: "dash", from: "1.0" },
    { kind: "changed", root: "image", name: "sed", from: "1.0 (sha256 abababababab)", to: "1.0 (sha256 cdcdcdcdcdcd)" },
    { kind: "added", root: "image", name: "tar", to: "1.0" },
  ]);
  expect(formatChanges(diffLocks(before, after))).toContain("~ bash 1.0 -> 1:2.0");
  expect(driftBetween(before, after)[1]).toEqual({ root: "image", name: "dash", locked: "1.0" });
  expect(formatChanges(diffLocks(before, before))).toBe("no package changed\n");
});

test("a release never drifts", async () => {
  const drifting = resolveDrift(recipe, committed, { channel: "release", mirrors: {} });
  await expect(drifting).rejects.toMatchObject({ code: "LOCK_DRIFT_REFUSED", exit: 1 });
});
