import { ensureKeyManifest } from "@secai/release/keys/ensure";
import type { KeySet } from "@secai/release/keys/key-set";
import { planRotate } from "@secai/release/keys/plan-rotate";
import { rehearse } from "@secai/release/keys/rehearse";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KeysDirectory } from "./keys-directory.ts";

let directory: KeysDirectory;
let set: KeySet;
const NOW = Date.now();
beforeEach(async () => {
  directory = new KeysDirectory();
  set = await ensureKeyManifest(directory.path, NOW);
});
afterEach(() => directory.remove());

const failing = async (change: Awaited<ReturnType<typeof planRotate>>) =>
  (await rehearse(set, change, NOW)).filter(({ holds }) => !holds).map(({ name }) => name);

test("a good change holds in every point, and the copy is gone afterwards", async () => {
  const was = directory.snapshot();
  expect(await failing(await planRotate(set, "root", { days: 10 }, NOW))).toEqual([]);
  expect(directory.snapshot()).toEqual(was);
});

test("a change that the old root did not sign never gets as far as a proof", async () => {
  const change = await planRotate(set, "root", { days: 10 }, NOW);
  const [first] = change.signed.bundles;
  if (first === undefined) throw new Error("no signature");
  const was = directory.snapshot();
  const alone = { ...change, signed: { ...change.signed, bundles: new Map([first]) } };
  await expect(rehearse(set, alone, NOW)).rejects.toMatchObject({ code: "KEY_SET_BROKEN" });
  expect(directory.snapshot()).toEqual(was);
});

test("a change whose private keys are not there fails by name", async () => {
  const change = await planRotate(set, "release", { days: 10 }, NOW);
  expect(await failing({ ...change, made: [] })).toContain("what the new release keys sign is accepted");
});
