import { copyFileSync, cpSync, readFileSync } from "node:fs";
import { type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { ensureKeyManifest } from "@secai/release/keys/ensure";
import type { VerifyPolicy } from "@secai/verify/release-policy";
import { verifyRelease } from "@secai/verify/verify-release";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeRelease, policyFor } from "../release/fixture.ts";
import { KeysDirectory } from "./keys-directory.ts";

// Three releases of one publisher: under the first keys, after new release keys, after those were revoked.
const directory = new KeysDirectory();
const at = (name: string) => directory.beside(name);
let first: PublicKey;
beforeAll(async () => {
  await ensureKeyManifest(directory.path);
  first = parsePublicKey(directory.read("release.pub"));
  await makeRelease(at("one"), directory.path);
  copyFileSync(`${directory.path}/keys.json`, at("one.json"));
  await directory.keys(["rotate", "release", "--ml-dsa", "--apply"]);
  await makeRelease(at("two"), directory.path);
  const [stolen = ""] = (await ensureKeyManifest(directory.path)).manifest.roles.release.keys;
  await directory.keys(["revoke", stolen, "--reason", "stolen", "--apply"]);
  await makeRelease(at("three"), directory.path);
  copyFileSync(`${directory.path}/keys.json`, at("three.json"));
});
afterAll(() => directory.remove());

async function answer(release: string, policy: Partial<VerifyPolicy>): Promise<string> {
  const { verdict, checks } = await verifyRelease(at(release), { ...policyFor([]), ...policy });
  const failed = checks
    .filter(({ status }) => status === "fail")
    .map((check) => `${check.id} ${"code" in check ? check.code : ""}`);
  return [verdict, ...new Set(failed)].join(", ");
}
const known = (name: string) => ({ keyManifest: readFileSync(at(name)) });

for (const release of ["one", "two", "three"]) {
  test(`who trusts the first root key accepts release ${release}`, async () => {
    expect(await answer(release, { keys: [first] })).toBe("accepted");
  });
  test(`who knows the first key manifest accepts release ${release}`, async () => {
    expect(await answer(release, known("one.json"))).toBe("accepted");
  });
}
test("who knows the last key manifest accepts the last release", async () => {
  expect(await answer("three", known("three.json"))).toBe("accepted");
});
test("who knows the last key manifest is not led back", async () => {
  expect(await answer("two", known("three.json"))).toContain("rejected, keys.chain TRUST_ROLLBACK");
});
test("the key that signs releases is not one to trust at first", async () => {
  const release = parsePublicKey(readFileSync(at("three/keys/release.pub")));
  expect(await answer("three", { keys: [release] })).toContain("rejected, keys.chain TRUST_NO_ANCHOR");
});
test("a release of the stolen key under the newest manifest is refused by that name", async () => {
  cpSync(at("two"), at("mixed"), { recursive: true });
  cpSync(at("three/keys"), at("mixed/keys"), { recursive: true });
  const found = await answer("mixed", { keys: [first] });
  expect(found).toMatch(/^rejected/);
  expect(found).toContain("keys.revocation KEY_REVOKED");
});
test("both of two algorithms can be asked for where both signed", async () => {
  expect(await answer("two", { keys: [first], signatures: "classical" })).toBe("accepted");
  expect(await answer("one", { keys: [first], signatures: "hybrid" })).toContain("rejected, keys.threshold THRESHOLD_SHORT");
});
