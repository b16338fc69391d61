import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureKeyManifest } from "@secai/release/keys/ensure";
import { commitChanges, finishChanges } from "@secai/release/keys/journal";
import { loadKeySet, releaseFilesOf, signersFor } from "@secai/release/keys/key-set";
import { establishTrust } from "@secai/verify/trust";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KeysDirectory } from "./keys-directory.ts";

let directory: KeysDirectory;
beforeEach(() => {
  directory = new KeysDirectory();
});
afterEach(() => directory.remove());

const newKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });

const refused: readonly {
  readonly name: string;
  readonly code: string;
  readonly spoil: (at: (name: string) => string) => void;
}[] = [
  { name: "without a release key", code: "KEY_MISSING", spoil: (at) => rmSync(at("release.key")) },
  { name: "with a release key that others read", code: "KEY_EXPOSED", spoil: (at) => chmodSync(at("release.key"), 0o640) },
  { name: "without a certificate", code: "KEY_SET_INCOMPLETE", spoil: (at) => rmSync(at("KEK.crt")) },
  { name: "with a certificate that is none", code: "KEY_SET_INCOMPLETE", spoil: (at) => writeFileSync(at("db.crt"), "x") },
  {
    name: "with a PCR key that is not RSA",
    code: "SCHEMA_MISMATCH",
    spoil: (at) => writeFileSync(at("pcr.pub"), directory.read("release.pub")),
  },
];
for (const { name, code, spoil } of refused) {
  test(`a directory ${name} gets no manifest: ${code}`, async () => {
    spoil((file) => join(directory.path, file));
    const was = directory.snapshot();
    await expect(ensureKeyManifest(directory.path)).rejects.toMatchObject({ code });
    expect(directory.snapshot()).toEqual(was);
  });
}

test("a release key exchanged by hand is noticed before it signs", async () => {
  await ensureKeyManifest(directory.path);
  writeFileSync(join(directory.path, "release.key"), newKey(), { mode: 0o600 });
  await expect(ensureKeyManifest(directory.path)).rejects.toMatchObject({ code: "KEY_SET_DISAGREES" });
});

test("development keys: release.key has every role, and a stranger with its fingerprint can follow", async () => {
  const set = await ensureKeyManifest(directory.path);
  const [key] = signersFor(set, "release", Date.now());
  if (key === undefined) throw new Error("no signer");
  const files = releaseFilesOf(set);
  expect(Object.keys(files)).toEqual(["keys/keys.json", "keys/keys.json.sigstore.json"]);
  const [bytes, bundle] = Object.values(files);
  if (bytes === undefined || bundle === undefined) throw new Error("no files");
  const link = { name: "keys/keys.json", bytes, bundles: [bundle] };
  const result = establishTrust([link], { kind: "fingerprints", fingerprints: [key.fingerprint], threshold: 1 }, Date.now());
  expect(result).toMatchObject({ state: "trusted", sha256: set.sha256, manifest: { signatures: "classical", version: 1 } });
  expect(signersFor(set, "channel", Date.now())).toEqual([key]);
  expect(signersFor(set, "release", Date.parse("2999-01-01"))).toEqual([]);
});

test("once made it stays, for several at once too", async () => {
  const all = await Promise.all([1, 2, 3].map(() => ensureKeyManifest(directory.path)));
  const again = await ensureKeyManifest(directory.path);
  expect(new Set([...all, again].map(({ sha256 }) => sha256)).size).toBe(1);
  expect(Object.keys(directory.snapshot()).filter((name) => name.startsWith("."))).toEqual([]);
});

test("the lock of a process that died is nobody's", async () => {
  writeFileSync(join(directory.path, ".lock"), "4194305", { mode: 0o600 });
  await ensureKeyManifest(directory.path);
});

test("a change interrupted after it was decided is completed by whoever comes next", async () => {
  await ensureKeyManifest(directory.path);
  await directory.keys(["rotate", "release", "--apply"]);
  const done = directory.snapshot();
  // The moment after the decision: some files are where they belong, one is not, one was not removed yet.
  mkdirSync(join(directory.path, ".pending/files"), { recursive: true, mode: 0o700 });
  writeFileSync(join(directory.path, ".pending/files/keys.json"), directory.read("keys.json"), { mode: 0o644 });
  writeFileSync(join(directory.path, ".pending/removals.json"), JSON.stringify(["left-over", "never-there"]), { mode: 0o600 });
  writeFileSync(join(directory.path, "left-over"), "x");
  rmSync(join(directory.path, "keys.json"));
  expect((await loadKeySet(directory.path))?.manifest.version).toBe(2);
  expect(directory.snapshot()).toEqual(done);
});

test("a change that cannot be written leaves nothing behind", async () => {
  const was = directory.snapshot();
  const content = { content: "x", mode: 0o644 } as const;
  const write = new Map([
    ["a", content],
    ["a/b", content],
  ]);
  await expect(commitChanges(directory.path, { write, remove: ["release.key"] })).rejects.toThrow();
  await finishChanges(directory.path);
  expect(directory.snapshot()).toEqual(was);
});
