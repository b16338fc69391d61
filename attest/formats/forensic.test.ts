import { strict as assert } from "node:assert";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import fc from "fast-check";
import { test } from "vitest";
import { FormatError } from "./errors.ts";
import {
  exampleIncident as incident,
  exampleForensic as payload,
  pemOf as pem,
  auditRecord as record,
  signForensic,
} from "./forensic.test-data.ts";
import { type ForensicBundle, parseForensic, verifyForensic } from "./forensic.ts";
import { ForensicError } from "./forensic-errors.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const signed = (content: object, domain?: string, key: KeyObject = privateKey): ForensicBundle =>
  signForensic(content, { privateKey: key, publicKey }, domain);
const digit = (character: string): string => character.repeat(64);
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const good = signed(payload);

const unparsed: readonly { readonly name: string; readonly code: string; readonly input: Buffer }[] = [
  {
    name: "evidence nested deeper than any stack",
    code: "JSON_MALFORMED",
    input: Buffer.from(JSON.stringify(good).replace('"path":"/etc/x"', `"path":${"[".repeat(200_000)}${"]".repeat(200_000)}`)),
  },
  { name: "no JSON", code: "JSON_MALFORMED", input: Buffer.from("{") },
  { name: "an unknown member", code: "SCHEMA_MISMATCH", input: bytes({ ...good, more: 1 }) },
  {
    name: "an unknown member of an incident",
    code: "SCHEMA_MISMATCH",
    input: bytes({ ...good, incidents: [{ ...incident, x: 1 }] }),
  },
  { name: "another schema", code: "SCHEMA_MISMATCH", input: bytes({ ...good, schema: 1 }) },
  { name: "no signature", code: "SCHEMA_MISMATCH", input: bytes(payload) },
  {
    name: "a line break in a description",
    code: "SCHEMA_MISMATCH",
    input: bytes({ ...good, incidents: [{ ...incident, description: "a\nb" }] }),
  },
  { name: "a repeated key", code: "FORENSIC_AMBIGUOUS", input: Buffer.from(`{"schema":2,${JSON.stringify(good).slice(1)}`) },
  { name: "white space", code: "FORENSIC_AMBIGUOUS", input: Buffer.from(JSON.stringify(good, null, 1)) },
];
for (const { name, code, input } of unparsed) {
  test(`parseForensic refuses ${name}`, () => assert.throws(() => parseForensic(input), { code }));
}

const other = generateKeyPairSync("ed25519");
const unverified: readonly { readonly name: string; readonly code: string; readonly bundle: object; readonly key?: string }[] = [
  { name: "a changed severity", code: "FORENSIC_SIGNATURE", bundle: { ...good, incidents: [{ ...incident, severity: "low" }] } },
  { name: "changed evidence", code: "FORENSIC_SIGNATURE", bundle: { ...good, incidents: [{ ...incident, evidence: {} }] } },
  { name: "an incident taken out", code: "FORENSIC_SIGNATURE", bundle: { ...good, incidents: [] } },
  {
    name: "an audit entry taken out",
    code: "FORENSIC_SIGNATURE",
    bundle: { ...good, audit_entries: good.audit_entries.slice(1) },
  },
  { name: "another audit head", code: "FORENSIC_SIGNATURE", bundle: { ...good, audit_head: { seq: 5, mac: digit("8") } } },
  { name: "another policy", code: "FORENSIC_SIGNATURE", bundle: { ...good, policy_digest: digit("8") } },
  { name: "another time", code: "FORENSIC_SIGNATURE", bundle: { ...good, exported_at: "2026-01-02T00:00:00Z" } },
  { name: "a signature of another domain", code: "FORENSIC_SIGNATURE", bundle: signed(payload, "SecAI-State-Bundle-v2") },
  {
    name: "a signature of another key under this name",
    code: "FORENSIC_SIGNATURE",
    bundle: signed(payload, undefined, other.privateKey),
  },
  { name: "another machine's key", code: "FORENSIC_KEY", bundle: good, key: pem(other.publicKey) },
  { name: "no key", code: "FORENSIC_KEY", bundle: good, key: "-" },
  {
    name: "a key of another kind",
    code: "FORENSIC_KEY",
    bundle: good,
    key: pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey),
  },
  {
    name: "a signed log with a gap",
    code: "FORENSIC_AUDIT",
    bundle: signed({ ...payload, audit_entries: [record(3, digit("2"), digit("3")), ...payload.audit_entries.slice(1)] }),
  },
  {
    name: "a signed log that ends early",
    code: "FORENSIC_AUDIT",
    bundle: signed({ ...payload, audit_entries: payload.audit_entries.slice(0, 1) }),
  },
  { name: "a signed log that is none", code: "FORENSIC_AUDIT", bundle: signed({ ...payload, audit_entries: ["{}"] }) },
  {
    name: "the same incident twice",
    code: "FORENSIC_CONTENT",
    bundle: signed({
      ...payload,
      incidents: [incident, incident],
      system_state: { ...payload.system_state, total_incidents: 2 },
    }),
  },
  {
    name: "a wrong count",
    code: "FORENSIC_CONTENT",
    bundle: signed({ ...payload, system_state: { ...payload.system_state, total_incidents: 3 } }),
  },
];
for (const { name, code, bundle, key = pem(publicKey) } of unverified) {
  test(`verifyForensic refuses ${name}`, () => assert.throws(() => verifyForensic(bytes(bundle), key), { code }));
}

test("a genuine bundle is what was signed, with or without a last newline", () => {
  assert.deepEqual(verifyForensic(bytes(good), pem(publicKey)), good);
  assert.deepEqual(verifyForensic(Buffer.concat([bytes(good), Buffer.from("\n")]), pem(publicKey)), good);
});

test("any other byte anywhere is refused by a name", () => {
  const whole = bytes(good);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (position, difference) => {
      const changed = Buffer.from(whole);
      changed[position] = (changed[position] ?? 0) ^ difference;
      assert.throws(
        () => verifyForensic(changed, pem(publicKey)),
        (error) => error instanceof FormatError || error instanceof ForensicError,
      );
    }),
    { numRuns: 400 },
  );
});

test("the same signature in another spelling is refused", () => {
  // Decodes to the same 64 bytes: the last letter's four lowest bits stand for nothing.
  const value = good.signature.value.replace(/.==$/, (end) => `${String.fromCharCode(end.charCodeAt(0) + 1)}==`);
  assert.deepEqual(Buffer.from(value, "base64"), Buffer.from(good.signature.value, "base64"));
  assert.throws(() => verifyForensic(bytes({ ...good, signature: { ...good.signature, value } }), pem(publicKey)), FormatError);
});
