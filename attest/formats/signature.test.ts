import { strict as assert } from "node:assert";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { ml_dsa65 } from "@noble/post-quantum/ml-dsa.js";
import fc from "fast-check";
import { test } from "vitest";
import { sha256 } from "./digest.ts";
import { preAuthEncoding } from "./dsse.ts";
import { FormatError } from "./errors.ts";
import { hintOf, type PublicKey, parsePublicKey, publicKeyPem } from "./keys.ts";
import { hasNativeMlDsa, verifyMlDsa } from "./ml-dsa.ts";
import { isSignature, verifyMessageBundle, verifyStatementBundle } from "./signature.ts";

const p256 = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const mlDsa = () => generateKeyPairSync("ml-dsa-65");
const pemOf = (key: KeyObject) => key.export({ type: "spki", format: "pem" }).toString();
const publicOf = (key: KeyObject): PublicKey => parsePublicKey(Buffer.from(pemOf(key)));

const ec = p256();
const pq = mlDsa();
const ecPem = pemOf(ec.publicKey);
const pqPem = pemOf(pq.publicKey);
const spki = (key: KeyObject) => key.export({ type: "spki", format: "der" });
/** A compressed point is the same key under another encoding. */
const compressed = Buffer.concat([
  Buffer.from("3039301306072a8648ce3d020106082a8648ce3d030107032200", "hex"),
  Buffer.from([2 + ((spki(ec.publicKey).at(-1) ?? 0) & 1)]),
  spki(ec.publicKey).subarray(27, 59),
]);

const malformed: readonly (readonly [name: string, pem: string | Buffer])[] = [
  ["nothing", ""],
  ["text before the key", `x\n${ecPem}`],
  ["text after the key", `${ecPem}x`],
  ["two keys", ecPem + ecPem],
  ["a key and an ML-DSA key", ecPem + pqPem],
  ["a line end of Windows", ecPem.replaceAll("\n", "\r\n")],
  ["no last line end", ecPem.slice(0, -1)],
  ["a line too long", ecPem.replace(/^(.{64})\n/m, "$1")],
  ["a private key", ec.privateKey.export({ type: "pkcs8", format: "pem" }).toString()],
  ["another curve", pemOf(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey)],
  ["a curve of the same size", pemOf(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey)],
  ["RSA", pemOf(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey)],
  ["Ed25519", pemOf(generateKeyPairSync("ed25519").publicKey)],
  ["ML-DSA-44", pemOf(generateKeyPairSync("ml-dsa-44").publicKey)],
  ["ML-DSA-87", pemOf(generateKeyPairSync("ml-dsa-87").publicKey)],
  ["a compressed point", publicKeyPem(compressed)],
  ["a point off the curve", publicKeyPem(Buffer.from(spki(ec.publicKey)).fill(1, 40, 50))],
  ["ML-DSA one byte short", publicKeyPem(spki(pq.publicKey).subarray(0, -1))],
  ["ML-DSA one byte long", publicKeyPem(Buffer.concat([spki(pq.publicKey), Buffer.of(0)]))],
  ["ML-DSA with spare bits", publicKeyPem(Buffer.from(spki(pq.publicKey)).fill(1, 21, 22))],
  ["a large file", Buffer.alloc(5000, "A")],
];
for (const [name, pem] of malformed) {
  test(`parsePublicKey refuses ${name}`, () => assert.throws(() => parsePublicKey(Buffer.from(pem)), { code: "KEY_MALFORMED" }));
}

test("parsePublicKey returns or throws FormatError, nothing else", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.uint8Array({ maxLength: 200 }).map(publicKeyPem)), (pem) => {
      try {
        parsePublicKey(Buffer.from(pem));
      } catch (error) {
        assert.ok(error instanceof FormatError);
      }
    }),
  );
});

test("keys of both algorithms are read, named by the digest of their DER and printed as they were", () => {
  for (const [pem, algorithm, key] of [
    [ecPem, "ecdsa-p256", ec.publicKey],
    [pqPem, "ml-dsa-65", pq.publicKey],
  ] as const) {
    const read = parsePublicKey(Buffer.from(pem));
    assert.equal(read.algorithm, algorithm);
    assert.equal(read.fingerprint, sha256(spki(key)));
    assert.equal(publicKeyPem(spki(key)), pem);
  }
});

const data = Buffer.from("what is signed");
const signers = [
  { algorithm: "ecdsa-p256", pair: ec, other: p256(), hash: "sha256" },
  { algorithm: "ml-dsa-65", pair: pq, other: mlDsa(), hash: null },
] as const;
for (const { algorithm, pair, other, hash } of signers) {
  const key = publicOf(pair.publicKey);
  const stranger = publicOf(other.publicKey);
  const signature = sign(hash, data, pair.privateKey);
  const payloadType = "application/vnd.in-toto+json";
  const message = { kind: "message", keyHint: hintOf(key), digest: Buffer.from(sha256(data), "hex"), signature } as const;
  const signed = sign(hash, preAuthEncoding(payloadType, data), pair.privateKey);
  const statement = { kind: "statement", keyHint: hintOf(key), payloadType, payload: data, signature: signed } as const;
  const none = { certificates: [], logEntries: [], timestamps: [] };

  test(`${algorithm}: what its key signed is accepted`, () => {
    verifyMessageBundle(message, data, key);
    verifyMessageBundle({ ...message, evidence: none }, data, key);
    assert.deepEqual(verifyStatementBundle(statement, key), data);
  });
  const refused: Readonly<Record<string, () => unknown>> = {
    "another key": () => verifyMessageBundle(message, data, stranger),
    "another key under this key's name": () => verifyMessageBundle({ ...message, keyHint: hintOf(stranger) }, data, stranger),
    "a key under another's name": () => verifyMessageBundle({ ...message, keyHint: hintOf(stranger) }, data, key),
    "no name of a key": () => verifyMessageBundle({ ...message, keyHint: undefined }, data, key),
    "other data": () => verifyMessageBundle(message, Buffer.from("What is signed"), key),
    "other data under its own digest": () =>
      verifyMessageBundle({ ...message, digest: Buffer.from(sha256("x"), "hex") }, Buffer.from("x"), key),
    "another digest": () => verifyMessageBundle({ ...message, digest: Buffer.alloc(32) }, data, key),
    "a cut signature": () => verifyMessageBundle({ ...message, signature: signature.subarray(0, -1) }, data, key),
    "a padded signature": () =>
      verifyMessageBundle({ ...message, signature: Buffer.concat([signature, Buffer.of(0)]) }, data, key),
    "no signature": () => verifyMessageBundle({ ...message, signature: Buffer.of() }, data, key),
    "a file's signature on a statement": () => verifyStatementBundle({ ...statement, signature }, key),
    "a statement's signature on a file": () => verifyMessageBundle({ ...message, signature: signed }, data, key),
    "another payload type": () => verifyStatementBundle({ ...statement, payloadType: "text/plain" }, key),
    "another payload": () => verifyStatementBundle({ ...statement, payload: Buffer.from("x") }, key),
  };
  for (const [name, run] of Object.entries(refused)) {
    test(`${algorithm}: ${name} is refused`, () => assert.throws(run, { code: "SIGNATURE_INVALID" }));
  }
  test(`${algorithm}: evidence that a key cannot check is refused, not passed over`, () => {
    const claims = { ...none, timestamps: [Buffer.of(1)] };
    assert.throws(() => verifyMessageBundle({ ...message, evidence: claims }, data, key), { code: "EVIDENCE_UNCHECKED" });
    assert.throws(() => verifyStatementBundle({ ...statement, evidence: claims }, key), { code: "EVIDENCE_UNCHECKED" });
  });
}

test("a signature of one algorithm is none of the other", () => {
  const ecSignature = sign("sha256", data, ec.privateKey);
  const pqSignature = sign(null, data, pq.privateKey);
  assert.equal(isSignature(data, ecSignature, publicOf(pq.publicKey)), false);
  assert.equal(isSignature(data, pqSignature, publicOf(ec.publicKey)), false);
});

test("OpenSSL and the substitute agree about ML-DSA signatures, good and bad", () => {
  assert.ok(hasNativeMlDsa());
  const key = publicOf(pq.publicKey);
  assert.ok(key.algorithm === "ml-dsa-65");
  const signature = sign(null, data, pq.privateKey);
  const both = (bytes: Buffer) => [verifyMlDsa(key.raw, data, bytes), ml_dsa65.verify(bytes, data, key.raw)];
  assert.deepEqual(both(signature), [true, true]);
  for (const at of [0, 47, 48, 1000, 3247, 3248, 3308]) {
    const changed = Buffer.from(signature);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    assert.deepEqual(both(changed), [false, false], `byte ${at}`);
  }
});
