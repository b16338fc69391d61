import { strict as assert } from "node:assert";
import { parseBundle } from "@secai/formats/bundle";
import { sha256 } from "@secai/formats/digest";
import type { KeyManifest, SignatureMode, SigningRole } from "@secai/formats/key-manifest";
import {
  deviceKey,
  messageBundle,
  payloadBundle,
  type TestKey,
  testKey,
  testManifest,
} from "@secai/formats/key-manifest.test-data";
import { buildStatement, statementBytes, subjectOf } from "@secai/formats/statement";
import { test } from "vitest";
import { rolesOf, signersOf, thresholdRefusal } from "./trust-signers.ts";

const [root, release, second, stranger] = [testKey(), testKey(), testKey(), testKey()];
const [postQuantum, further] = [testKey("ml-dsa-65"), testKey("ml-dsa-65")];
const expired = testKey("ecdsa-p256", { validUntil: "2026-03-01T00:00:00Z" });
const early = testKey("ecdsa-p256", { validFrom: "2026-03-02T00:00:00Z" });
const revoked = testKey();
const AT = Date.parse("2026-03-01T12:00:00Z");

const manifest = testManifest({
  root: [root],
  release: [release, second, postQuantum, expired, early],
  over: { signatures: "any", revoked: [{ fingerprint: revoked.fingerprint, at: "2026-01-10T00:00:00Z", reason: "lost" }] },
});
const payload = statementBytes(buildStatement("urn:x", [subjectOf("a", sha256("a"))], {}));
const other = statementBytes(buildStatement("urn:x", [subjectOf("b", sha256("b"))], {}));
const by = (key: TestKey, what = payload) => ({ name: key.fingerprint, bundle: parseBundle(payloadBundle(what, key)) });
const file = Buffer.from("a file");
const fileBy = (key: TestKey) => ({ name: key.fingerprint, bundle: parseBundle(messageBundle(file, key)) });

const uncounted: readonly { readonly name: string; readonly key: TestKey; readonly code: string; readonly role?: SigningRole }[] =
  [
    { name: "a stranger", key: stranger, code: "KEY_UNTRUSTED" },
    { name: "a key of another role", key: root, code: "KEY_ROLE" },
    { name: "a release key where root is asked", key: release, code: "KEY_ROLE", role: "root" },
    { name: "a key past its time", key: expired, code: "KEY_EXPIRED" },
    { name: "a key before its time", key: early, code: "KEY_NOT_YET_VALID" },
    { name: "a revoked key", key: revoked, code: "KEY_REVOKED" },
    { name: "a stranger under a good hint", key: { ...release, privateKey: stranger.privateKey }, code: "SIGNATURE_INVALID" },
    {
      name: "a stranger under a good ML-DSA-65 hint",
      key: { ...postQuantum, privateKey: further.privateKey },
      code: "SIGNATURE_INVALID",
    },
    { name: "a firmware key's hint", key: { ...release, fingerprint: deviceKey.fingerprint }, code: "KEY_ROLE" },
  ];
for (const { name, key, code, role = "release" } of uncounted) {
  test(`${name} does not count: ${code}`, () => {
    const { counted, uncounted: found, payload: read } = signersOf([by(key)], rolesOf(manifest, role, AT));
    assert.deepEqual([counted.length, found.map((one) => one.code), read], [0, [code], undefined]);
  });
}

test("a key counts once, and at both ends of its time", () => {
  const both = signersOf([by(release), { ...by(release), name: "again" }], rolesOf(manifest, "release", AT));
  assert.deepEqual([both.counted.length, both.uncounted.map(({ code }) => code)], [1, ["KEY_REPEATED"]]);
  for (const at of [expired.entry.validFrom, expired.entry.validUntil].map((instant) => Date.parse(instant)))
    assert.equal(signersOf([by(expired)], rolesOf(manifest, "release", at)).counted.length, 1);
});
test("who signs another statement than the others does not count", () => {
  const {
    counted,
    uncounted: found,
    payload: read,
  } = signersOf([by(release), by(second, other)], rolesOf(manifest, "release", AT));
  assert.deepEqual(
    [counted.map(({ bundle }) => bundle), found.map(({ code }) => code)],
    [[release.fingerprint], ["PAYLOADS_DIFFER"]],
  );
  assert.deepEqual(read, payload);
});
test("a signed file and a signed statement are not taken for each other", () => {
  const keys = rolesOf(manifest, "release", AT);
  assert.equal(signersOf([fileBy(release)], keys).uncounted[0]?.code, "SIGNATURE_INVALID");
  assert.equal(signersOf([by(release)], keys, file).uncounted[0]?.code, "SIGNATURE_INVALID");
  assert.equal(signersOf([fileBy(release)], keys, Buffer.from("another file")).uncounted[0]?.code, "SIGNATURE_INVALID");
  assert.equal(signersOf([fileBy(release), fileBy(postQuantum)], keys, file).counted.length, 2);
});

const modes: readonly {
  readonly manifest: SignatureMode;
  readonly asked: SignatureMode;
  readonly threshold: number;
  readonly signers: readonly TestKey[];
  readonly enough: boolean;
}[] = [
  { manifest: "classical", asked: "any", threshold: 1, signers: [release], enough: true },
  { manifest: "classical", asked: "any", threshold: 1, signers: [postQuantum], enough: false },
  { manifest: "classical", asked: "any", threshold: 2, signers: [release, postQuantum], enough: false },
  { manifest: "classical", asked: "any", threshold: 2, signers: [release, second, postQuantum], enough: true },
  { manifest: "any", asked: "any", threshold: 1, signers: [postQuantum], enough: true },
  { manifest: "any", asked: "any", threshold: 2, signers: [release, postQuantum], enough: true },
  { manifest: "any", asked: "any", threshold: 2, signers: [release], enough: false },
  { manifest: "any", asked: "classical", threshold: 1, signers: [postQuantum], enough: false },
  { manifest: "any", asked: "hybrid", threshold: 1, signers: [release], enough: false },
  { manifest: "any", asked: "hybrid", threshold: 1, signers: [release, postQuantum], enough: true },
  { manifest: "hybrid", asked: "any", threshold: 1, signers: [release], enough: false },
  { manifest: "hybrid", asked: "classical", threshold: 1, signers: [postQuantum], enough: false },
  { manifest: "hybrid", asked: "classical", threshold: 1, signers: [release], enough: false },
  { manifest: "hybrid", asked: "any", threshold: 1, signers: [release, postQuantum], enough: true },
  { manifest: "hybrid", asked: "any", threshold: 2, signers: [release, second, postQuantum], enough: false },
  { manifest: "hybrid", asked: "any", threshold: 2, signers: [release, second, postQuantum, further], enough: true },
  { manifest: "any", asked: "any", threshold: 1, signers: [], enough: false },
];
for (const { manifest: mode, asked, threshold, signers, enough } of modes) {
  const who = signers.map(({ entry }) => entry.algorithm).join(" and ") || "nobody";
  test(`${who} ${enough ? "is enough" : "is too few"} for ${threshold} under ${mode}, asked for ${asked}`, () => {
    const release_ = [release, second, postQuantum, further];
    const made: KeyManifest = testManifest({
      root: [root],
      release: release_,
      releaseThreshold: threshold,
      over: { signatures: mode },
    });
    const keys = rolesOf(made, "release", AT, asked);
    const short = thresholdRefusal(
      signersOf(
        signers.map((key) => by(key)),
        keys,
      ),
      keys,
    );
    assert.equal(short?.code, enough ? undefined : "THRESHOLD_SHORT");
  });
}
