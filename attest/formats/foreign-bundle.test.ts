import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import { parseBundle } from "./bundle.ts";
import { FormatError } from "./errors.ts";
import { parseForeignBundle } from "./foreign-bundle.ts";

const V01 = "application/vnd.dev.sigstore.bundle+json;version=0.1";
const V02 = "application/vnd.dev.sigstore.bundle+json;version=0.2";
const V03 = "application/vnd.dev.sigstore.bundle.v0.3+json";
const b64 = (text: string) => Buffer.from(text).toString("base64");

type Json = Record<string, unknown>;
const entry: Json = {
  logId: { keyId: b64("log") },
  kindVersion: { kind: "intoto", version: "0.0.2" },
  canonicalizedBody: b64("{}"),
  logIndex: "7",
  integratedTime: "1700000000",
  inclusionPromise: { signedEntryTimestamp: b64("promise") },
  inclusionProof: {
    rootHash: b64("root"),
    treeSize: "8",
    checkpoint: { envelope: `log\n8\n${b64("root")}\n` },
    logIndex: "7",
    hashes: [b64("hash")],
  },
};
const without = (value: Json, ...names: string[]): Json =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));
const proof = entry.inclusionProof as Json;
const message: Json = {
  messageDigest: { algorithm: "SHA2_256", digest: b64("d".repeat(32)) },
  signature: b64("signature"),
};
const envelope: Json = {
  payload: b64("{}"),
  payloadType: "application/vnd.in-toto+json",
  signatures: [{ sig: b64("s"), keyid: "abc" }],
};
const certificate = { rawBytes: b64("leaf") };
const chain = { certificates: [certificate, { rawBytes: b64("issuer") }] };
const timestamps = { rfc3161Timestamps: [{ signedTimestamp: b64("time") }] };
const bundle = (mediaType: string, verificationMaterial: Json, content: Json = { messageSignature: message }): Json => ({
  mediaType,
  verificationMaterial,
  ...content,
});
const read = (value: unknown) => parseForeignBundle(Buffer.from(JSON.stringify(value, null, 2)));
const hint = { publicKey: { hint: "any-name" } };

const refused: readonly (readonly [name: string, value: unknown])[] = [
  ["a version to come", bundle("application/vnd.dev.sigstore.bundle.v0.4+json", hint)],
  ["an old spelling of a later version", bundle("application/vnd.dev.sigstore.bundle+json;version=0.4", hint)],
  ["no media type", without(bundle(V03, hint), "mediaType")],
  ["no signer", bundle(V03, {})],
  ["a key and a certificate", bundle(V03, { ...hint, certificate })],
  ["a certificate in v0.2", bundle(V02, { certificate })],
  ["a chain in v0.3", bundle(V03, { x509CertificateChain: chain })],
  ["an empty chain", bundle(V02, { x509CertificateChain: { certificates: [] } })],
  ["too long a chain", bundle(V02, { x509CertificateChain: { certificates: Array(9).fill(certificate) } })],
  ["nothing signed", bundle(V03, hint, {})],
  ["two things signed", bundle(V03, hint, { messageSignature: message, dsseEnvelope: envelope })],
  ["two signatures", bundle(V03, hint, { dsseEnvelope: { ...envelope, signatures: [{ sig: "" }, { sig: "" }] } })],
  ["another hash", bundle(V03, hint, { messageSignature: { ...message, messageDigest: { algorithm: "SHA2_512", digest: "" } } })],
  ["a log entry without proof in v0.3", bundle(V03, { ...hint, tlogEntries: [without(entry, "inclusionProof")] })],
  ["a log entry without proof in v0.2", bundle(V02, { ...hint, tlogEntries: [without(entry, "inclusionProof")] })],
  ["a log entry without promise in v0.1", bundle(V01, { ...hint, tlogEntries: [without(entry, "inclusionPromise")] })],
  ["too many log entries", bundle(V03, { ...hint, tlogEntries: Array(9).fill(entry) })],
  ["a log index that is a number", bundle(V03, { ...hint, tlogEntries: [{ ...entry, logIndex: 7 }] })],
  ["a log index below zero", bundle(V03, { ...hint, tlogEntries: [{ ...entry, logIndex: "-1" }] })],
  [
    "a proof of another root",
    bundle(V03, { ...hint, tlogEntries: [{ ...entry, inclusionProof: { ...proof, rootHash: b64("Root") } }] }),
  ],
  ["a proof of another size", bundle(V03, { ...hint, tlogEntries: [{ ...entry, inclusionProof: { ...proof, treeSize: "9" } }] })],
  ["a proof of no size", bundle(V03, { ...hint, tlogEntries: [{ ...entry, inclusionProof: without(proof, "treeSize") }] })],
  ["an unknown member", { ...bundle(V03, hint), more: 1 }],
  ["an unknown member of the material", bundle(V03, { ...hint, more: 1 })],
  ["an unknown member of a log entry", bundle(V03, { ...hint, tlogEntries: [{ ...entry, more: 1 }] })],
  ["an array", []],
  ["null", null],
];
for (const [name, value] of refused) {
  test(`parseForeignBundle refuses ${name}`, () => assert.throws(() => read(value), { code: "SCHEMA_MISMATCH" }));
}

test("parseForeignBundle refuses base64 that is not canonical, wherever it stands", () => {
  const spare = { ...proof, rootHash: "YR==" };
  for (const value of [
    bundle(V03, { certificate: { rawBytes: "YR==" } }),
    bundle(V03, { ...hint, timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: "YQ" }] } }),
    bundle(V03, { ...hint, tlogEntries: [{ ...entry, canonicalizedBody: "Y Q==" }] }),
    bundle(V03, { ...hint, tlogEntries: [{ ...entry, inclusionProof: spare }] }),
  ])
    assert.throws(() => read(value), { code: "BASE64_MALFORMED" });
});

test("v0.1 and v0.2 carry a chain, v0.3 one certificate; all are read as data", () => {
  for (const [mediaType, version] of [
    [V01, "0.1"],
    [V02, "0.2"],
  ] as const) {
    const material = { x509CertificateChain: chain, tlogEntries: [entry], timestampVerificationData: timestamps };
    const parsed = read(bundle(mediaType, material));
    assert.equal(parsed.version, version);
    assert.equal(parsed.keyHint, undefined);
    assert.deepEqual(parsed.evidence.certificates.map(String), ["leaf", "issuer"]);
    assert.deepEqual(parsed.evidence.timestamps.map(String), ["time"]);
    assert.equal(parsed.evidence.logEntries[0]?.logIndex, "7");
  }
  for (const mediaType of [V03, "application/vnd.dev.sigstore.bundle+json;version=0.3"]) {
    const parsed = read(bundle(mediaType, { certificate }, { dsseEnvelope: envelope }));
    assert.equal(parsed.version, "0.3");
    assert.ok(parsed.kind === "statement");
    assert.equal(parsed.payload.toString(), "{}");
    assert.deepEqual(parsed.evidence.certificates.map(String), ["leaf"]);
  }
});

test("zeros that proto3 JSON leaves out are read as zeros", () => {
  const zero = without(proof, "logIndex", "hashes");
  const first = { ...without(entry, "logIndex", "integratedTime", "inclusionPromise"), inclusionProof: zero };
  const [parsed] = read(bundle(V03, { certificate, tlogEntries: [first] })).evidence.logEntries;
  assert.equal(parsed?.logIndex, "0");
  assert.equal(parsed?.integratedTime, "0");
  assert.equal(parsed?.hasInclusionPromise, false);
});

test("our own reader takes none of it: no other version, no evidence, no filled keyid", () => {
  const own = { mediaType: V03, verificationMaterial: { publicKey: { hint: b64("hint") } }, messageSignature: message };
  const canonical = (value: Json) => Buffer.from(`${JSON.stringify(value)}\n`);
  assert.equal(
    parseBundle(
      canonical({ mediaType: own.mediaType, messageSignature: message, verificationMaterial: own.verificationMaterial }),
    ).kind,
    "message",
  );
  for (const material of [{ certificate }, { ...own.verificationMaterial, tlogEntries: [entry] }]) {
    const value = { mediaType: V03, messageSignature: message, verificationMaterial: material };
    assert.throws(() => parseBundle(canonical(value)), { name: "FormatError" });
  }
});

test("parseForeignBundle returns or throws FormatError, nothing else", () => {
  const near = fc.record({
    mediaType: fc.constantFrom(V01, V02, V03),
    verificationMaterial: fc.oneof(
      fc.constant({ certificate }),
      fc.record({ publicKey: fc.jsonValue(), tlogEntries: fc.array(fc.oneof(fc.constant(entry), fc.jsonValue())) }),
    ),
    messageSignature: fc.oneof(fc.constant(message), fc.jsonValue()),
  });
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), near), (value) => {
      try {
        read(value);
      } catch (error) {
        assert.ok(error instanceof FormatError);
      }
    }),
  );
});
