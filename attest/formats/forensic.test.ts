import { strict as assert } from "node:assert";
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import fc from "fast-check";
import { test } from "vitest";
import { canonicalJson } from "./canonical-json.ts";
import { FormatError } from "./errors.ts";
import { FORENSIC_DOMAIN, type ForensicBundle, parseForensic, verifyForensic } from "./forensic.ts";
import { ForensicError } from "./forensic-errors.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const pem = (key: KeyObject): string => key.export({ format: "pem", type: "spki" }).toString();
const keyId = createHash("sha256")
  .update(publicKey.export({ format: "der", type: "spki" }))
  .digest("hex");
const digit = (character: string): string => character.repeat(64);
const at = "2026-01-01T00:00:00.000Z";

const incident: ForensicBundle["incidents"][number] = {
  id: "INC-20260101-000000-0001",
  created_at: at,
  class: "integrity_violation",
  severity: "critical",
  state: "contained",
  source: "integrity-monitor",
  description: "a file changed",
  evidence: { path: "/etc/x", sizes: [1, 2], more: { a: null } },
  fingerprint: digit("1"),
  count: 2,
  last_seen_at: at,
  latched: true,
  escalated: false,
  containment_actions: ["freeze_agent"],
  containment_results: [
    { action: "freeze_agent", success: false, error: "TARGET_ABSENT: no socket", attempts: 1, completed_at: at },
  ],
  hash: digit("2"),
};
const record = (seq: number, prev: string, mac: string): string =>
  JSON.stringify({ data: {}, mac, prev, seq, time: at, type: "started" });
const payload: Omit<ForensicBundle, "signature"> = {
  schema: 2,
  exported_at: at,
  incidents: [incident],
  audit_entries: [record(4, digit("3"), digit("4")), record(5, digit("4"), digit("5"))],
  audit_head: { seq: 5, mac: digit("5") },
  store_head: { seq: 1, mac: digit("6") },
  system_state: { export_time: at, service: "incident-recorder", total_incidents: 1, open_incidents: 1 },
  policy_digest: digit("7"),
};

function signed(content: object, domain = FORENSIC_DOMAIN, key = privateKey): ForensicBundle {
  const value = sign(null, Buffer.from(`${domain}\0${canonicalJson(content)}`), key).toString("base64");
  return { ...(content as typeof payload), signature: { algorithm: "ed25519", key_id: keyId, value } };
}
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const good = signed(payload);

const unparsed: readonly { readonly name: string; readonly code: string; readonly input: Buffer }[] = [
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
    bundle: signed(payload, FORENSIC_DOMAIN, other.privateKey),
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
