import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import { FormatError } from "./errors.ts";
import { deviceKey, rawBytes, testKey, testManifest } from "./key-manifest.test-data.ts";
import { fitsRole, type KeyManifest, keyManifestBytes, keyManifestStatement, parseKeyManifest } from "./key-manifest.ts";

const [root, second, postQuantum] = [testKey(), testKey(), testKey("ml-dsa-65")];
const large = testKey("rsa-3072");
const good = testManifest({ root: [root, second], release: [root, postQuantum], over: { signatures: "any" } });
const entry = (fingerprint: string) => good.keys[fingerprint] ?? assert.fail(fingerprint);
const over = (changes: Partial<KeyManifest>) => ({ ...good, ...changes });
const withKey = (fingerprint: string, changes: object) =>
  over({ keys: { ...good.keys, [fingerprint]: { ...entry(fingerprint), ...changes } } });
const withRole = (role: keyof KeyManifest["roles"], changes: object) =>
  over({ roles: { ...good.roles, [role]: { ...good.roles[role], ...changes } } });
const after = (changes: object) => ({ ...over({ version: 2, predecessor: { version: 1, sha256: "a".repeat(64) } }), ...changes });
const gone = { fingerprint: "b".repeat(64), at: "2026-01-15T00:00:00Z", reason: "lost" };

/** One near miss a row. */
const rejected: readonly { readonly name: string; readonly value: unknown; readonly code?: string }[] = [
  { name: "another schema", value: { ...good, schema: 2 } },
  { name: "an unknown member", value: { ...good, comment: "x" } },
  { name: "no predecessor member", value: { ...good, predecessor: undefined } },
  { name: "version 0", value: over({ version: 0 }) },
  { name: "version 1 with a predecessor", value: over({ predecessor: { version: 1, sha256: "a".repeat(64) } }) },
  { name: "version 2 without a predecessor", value: over({ version: 2 }) },
  { name: "version 3 after version 1", value: after({ version: 3 }) },
  { name: "version 2 after itself", value: after({ predecessor: { version: 2, sha256: "a".repeat(64) } }) },
  { name: "an issue on 30 February", value: over({ issued: "2026-02-30T00:00:00Z" }) },
  { name: "an issue with fractions of a second", value: over({ issued: "2026-02-01T00:00:00.000Z" }) },
  { name: "an issue in local time", value: over({ issued: "2026-02-01T00:00:00+01:00" }) },
  {
    name: "a key under another fingerprint",
    value: withKey(root.fingerprint, { publicKey: entry(second.fingerprint).publicKey }),
  },
  { name: "a key of another algorithm than it says", value: withKey(root.fingerprint, { algorithm: "ml-dsa-65" }) },
  { name: "RSA-2048 that says RSA-3072", value: withKey(deviceKey.fingerprint, { algorithm: "rsa-3072" }) },
  { name: "a key of an unknown algorithm", value: withKey(root.fingerprint, { algorithm: "ed25519" }) },
  { name: "a key that ends when it begins", value: withKey(root.fingerprint, { validUntil: entry(root.fingerprint).validFrom }) },
  { name: "a key valid until 31 June", value: withKey(root.fingerprint, { validUntil: "2026-06-31T00:00:00Z" }) },
  {
    name: "a key with text before it",
    value: withKey(root.fingerprint, { publicKey: `x\n${entry(root.fingerprint).publicKey}` }),
  },
  {
    name: "a key with lines of another length",
    value: withKey(root.fingerprint, { publicKey: entry(root.fingerprint).publicKey.replace(/(\n.{63})(.)\n/, "$1\n$2") }),
    code: "KEY_MALFORMED",
  },
  { name: "a key without a role", value: over({ keys: { ...good.keys, [large.fingerprint]: large.entry } }) },
  { name: "a role without keys", value: withRole("image", { keys: [] }) },
  { name: "a role with a key that is not there", value: withRole("image", { keys: ["c".repeat(64)] }) },
  { name: "a role with a name of Object.prototype", value: withRole("image", { keys: ["constructor"] }) },
  {
    name: "a role with one key twice",
    value: withRole("root", { keys: [root.fingerprint, root.fingerprint] }),
    code: "DUPLICATE_ENTRY",
  },
  { name: "a threshold of 0", value: withRole("root", { threshold: 0 }) },
  { name: "a threshold above the number of keys", value: withRole("root", { threshold: 3 }) },
  { name: "an RSA key that signs releases", value: withRole("release", { keys: [deviceKey.fingerprint] }) },
  { name: "a P-256 key for Secure Boot", value: withRole("secure-boot", { keys: [root.fingerprint] }) },
  { name: "a P-256 key for PCR policies", value: withRole("pcr", { keys: [root.fingerprint, deviceKey.fingerprint] }) },
  { name: "a revoked key with a role", value: over({ revoked: [{ ...gone, fingerprint: root.fingerprint }] }) },
  { name: "a key revoked twice", value: over({ revoked: [gone, gone] }), code: "DUPLICATE_ENTRY" },
  { name: "a revocation of the future", value: over({ revoked: [{ ...gone, at: "2026-02-01T00:00:01Z" }] }) },
  { name: "a revocation without a reason", value: over({ revoked: [{ ...gone, reason: "" }] }) },
  { name: "a reason of two lines", value: over({ revoked: [{ ...gone, reason: "a\nb" }] }) },
  { name: "hybrid with a role without ML-DSA-65", value: over({ signatures: "hybrid" }) },
  { name: "an unknown rule for signatures", value: { ...good, signatures: "none" } },
  {
    name: "classical with a threshold that P-256 alone cannot meet",
    value: { ...withRole("release", { threshold: 2 }), signatures: "classical" },
  },
];
for (const { name, value, code = "SCHEMA_MISMATCH" } of rejected) {
  test(`a key manifest with ${name} is refused`, () => assert.throws(() => parseKeyManifest(rawBytes(value)), { code }));
}

const accepted: readonly { readonly name: string; readonly value: KeyManifest }[] = [
  { name: "of two algorithms", value: good },
  { name: "with a threshold of two", value: withRole("root", { threshold: 2 }) },
  { name: "that follows another", value: after({}) },
  { name: "with a revoked key", value: over({ revoked: [gone] }) },
  { name: "with a revocation of its own second", value: over({ revoked: [{ ...gone, at: good.issued }] }) },
  {
    name: "of both algorithms in every role",
    value: testManifest({ root: [root, postQuantum], over: { signatures: "hybrid" } }),
  },
];
for (const { name, value } of accepted) {
  test(`a key manifest ${name} is what its bytes say`, () => assert.deepEqual(parseKeyManifest(keyManifestBytes(value)), value));
}

test("bytes of another spelling are refused", () => {
  assert.throws(() => parseKeyManifest(Buffer.from(`${JSON.stringify(good, undefined, 1)}\n`)), { code: "JSON_NOT_CANONICAL" });
  assert.throws(() => parseKeyManifest(Buffer.alloc((1 << 20) + 1, " ")), { code: "JSON_TOO_LARGE" });
});

test("the statement is about the very bytes, under the name of the current manifest", () => {
  const { subject, predicate } = keyManifestStatement(keyManifestBytes(good));
  assert.deepEqual([subject[0]?.name, subject.length, predicate], ["keys/keys.json", 1, good]);
});

test("files are signed with P-256 and ML-DSA-65, firmware and TPM check RSA", () => {
  assert.deepEqual(
    [
      fitsRole("rsa-2048", "root"),
      fitsRole("rsa-3072", "pcr"),
      fitsRole("ml-dsa-65", "channel"),
      fitsRole("ecdsa-p256", "secure-boot"),
    ],
    [false, true, true, false],
  );
});

/** Any value in the place of any member. */
const spoiled = fc
  .tuple(fc.constantFrom(...Object.keys(good), "roles.root", "roles.pcr"), fc.jsonValue())
  .map(([path, value]) => {
    const [member = "", inner] = path.split(".");
    return inner === undefined ? { ...good, [member]: value } : { ...good, roles: { ...good.roles, [inner]: value } };
  });
test("parseKeyManifest returns or throws FormatError, nothing else", () => {
  fc.assert(
    fc.property(fc.oneof(spoiled, fc.jsonValue()), (value) => {
      try {
        parseKeyManifest(rawBytes(value));
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error));
      }
    }),
    { numRuns: 300 },
  );
});
test("parseKeyManifest survives any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.throws(() => parseKeyManifest(bytes), FormatError);
    }),
  );
});
