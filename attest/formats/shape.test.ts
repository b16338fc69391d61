import { strict as assert } from "node:assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { test } from "vitest";
import { dsseBundleShape, messageBundleShape } from "./bundle.ts";
import { exampleFacts, exampleManifestFacts } from "./example.test-data.ts";
import { buildManifest, manifestShape } from "./manifest.ts";
import { buildProvenance, provenanceShape } from "./provenance.ts";
import { integer, list, literal, nullable, object, parseShape, type Shape, table, text } from "./shape.ts";
import { statementShape } from "./statement.ts";

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
const statement = buildProvenance(exampleFacts);
const bundleHead = {
  mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
  verificationMaterial: { publicKey: { hint: "aGludA==" }, timestampVerificationData: {} },
};

/** Each published shape with a value that has it. */
const published: readonly { readonly name: string; readonly shape: Shape<unknown>; readonly good: unknown }[] = [
  { name: "statement", shape: statementShape, good: statement },
  { name: "provenance", shape: provenanceShape, good: statement.predicate },
  { name: "manifest", shape: manifestShape, good: buildManifest(exampleManifestFacts) },
  {
    name: "bundle of a statement",
    shape: dsseBundleShape,
    good: { ...bundleHead, dsseEnvelope: { payload: "e30=", payloadType: "application/json", signatures: [{ sig: "e30=" }] } },
  },
  {
    name: "bundle of a file",
    shape: messageBundleShape,
    good: { ...bundleHead, messageSignature: { messageDigest: { algorithm: "SHA2_256", digest: "e30=" }, signature: "e30=" } },
  },
  {
    name: "a bit of everything",
    shape: object(
      { word: text(/^[a-z]+$/, 5), one: literal(1, "a", true), rows: list(integer(0, 3), { min: 1, max: 2 }) },
      { extra: table(/^x/, integer(-1), { min: 1, max: 2 }), none: nullable(object({ a: integer(1) })) },
    ),
    good: { word: "abc", one: "a", rows: [0, 3], extra: { x: -1 }, none: null },
  },
];

/** The value with one place replaced, removed or added to, the place chosen by `path`. */
function spoiled(value: unknown, path: readonly number[], replacement: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined || typeof value !== "object" || value === null) return replacement;
  const entries = Object.entries(value);
  const index = step % (entries.length + 1);
  if (index === entries.length)
    return Array.isArray(value) ? [...value, replacement] : { ...value, [`added${step}`]: replacement };
  const changed = entries.flatMap(([key, member], at) => {
    if (at !== index) return [[key, member] as const];
    return replacement === undefined && rest.length === 0 ? [] : [[key, spoiled(member, rest, replacement)] as const];
  });
  return Array.isArray(value) ? changed.map(([, member]) => member) : Object.fromEntries(changed);
}

for (const { name, shape, good } of published) {
  test(`${name}: the shape and ajv agree, on the good value, on spoiled ones and on anything`, () => {
    const validate = ajv.compile(shape.schema);
    assert.equal(shape.mistake(good, ""), undefined);
    assert.equal(validate(good), true);
    const spoilt = fc
      .tuple(
        fc.array(fc.nat(20), { maxLength: 6 }),
        fc.oneof(fc.jsonValue(), fc.constant(undefined), fc.integer({ min: -2, max: 5 })),
      )
      .map(([path, replacement]) => JSON.parse(JSON.stringify(spoiled(good, path, replacement)) ?? "null"));
    fc.assert(
      fc.property(fc.oneof(spoilt, fc.jsonValue()), (value) => {
        assert.equal(shape.mistake(value, "") === undefined, validate(value));
      }),
      { numRuns: 500 },
    );
  });
}

const strict = object({ a: integer(0) }, { b: text(/^x$/) });
const rejected: readonly { readonly name: string; readonly value: unknown }[] = [
  { name: "null", value: null },
  { name: "an array", value: [] },
  { name: "a missing member", value: {} },
  { name: "a member of another case", value: { A: 1 } },
  { name: "an unknown member", value: { a: 1, c: 1 } },
  { name: "an optional member of null", value: { a: 1, b: null } },
  { name: "a number as text", value: { a: "1" } },
  { name: "a fraction", value: { a: 1.5 } },
  { name: "a number beyond exactness", value: { a: 2 ** 53 } },
  { name: "a member called __proto__", value: JSON.parse('{"a":1,"__proto__":{}}') },
  { name: "a trailing newline", value: { a: 1, b: "x\n" } },
];
for (const { name, value } of rejected) {
  test(`a strict object refuses ${name}`, () =>
    assert.throws(() => parseShape(strict, value, "a test"), { code: "SCHEMA_MISMATCH" }));
}

test("the message names the place", () => {
  const deep = object({ rows: list(object({ n: integer(0) })) });
  assert.throws(() => parseShape(deep, { rows: [{ n: 1 }, { n: "x" }] }, "a test"), /\/rows\/1\/n/);
});
