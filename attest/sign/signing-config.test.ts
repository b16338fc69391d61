import { strict as assert } from "node:assert";
import { CodedError } from "@secai/formats/errors";
import fc from "fast-check";
import { test } from "vitest";
import { parseSigningConfig } from "./signing-config.ts";

const NOW = new Date("2026-01-01T00:00:00Z");
const service = (url: string, changes: object = {}) => ({
  url,
  majorApiVersion: 1,
  validFor: { start: "2025-01-01T00:00:00Z" },
  operator: url,
  ...changes,
});
const one = service("https://one.example");
const two = service("https://two.example");
const config = (changes: object = {}) => ({
  mediaType: "application/vnd.dev.sigstore.signingconfig.v0.2+json",
  caUrls: [one],
  rekorTlogUrls: [one, two],
  rekorTlogConfig: { selector: "ANY" },
  tsaUrls: [one],
  tsaConfig: { selector: "ANY" },
  ...changes,
});
const parse = (value: unknown) => parseSigningConfig(Buffer.from(JSON.stringify(value)), NOW);
const over = { validFor: { start: "2024-01-01T00:00:00Z", end: "2026-01-01T00:00:00Z" } };
const toCome = { validFor: { start: "2026-01-01T00:00:01Z" } };

const refused: readonly (readonly [name: string, value: unknown, code: string])[] = [
  ["another version", config({ mediaType: "application/vnd.dev.sigstore.signingconfig.v0.3+json" }), "SCHEMA_MISMATCH"],
  ["an unknown member", config({ more: 1 }), "SCHEMA_MISMATCH"],
  ["an unknown selector", config({ rekorTlogConfig: { selector: "SOME" } }), "SCHEMA_MISMATCH"],
  ["no certificate authority", config({ caUrls: [] }), "SIGNING_CONFIG_UNUSABLE"],
  ["no log", config({ rekorTlogUrls: [] }), "SIGNING_CONFIG_UNUSABLE"],
  ["no timestamp authority", config({ tsaUrls: [] }), "SIGNING_CONFIG_UNUSABLE"],
  ["an authority whose time is over", config({ caUrls: [{ ...one, ...over }] }), "SIGNING_CONFIG_UNUSABLE"],
  ["an authority whose time is to come", config({ caUrls: [{ ...one, ...toCome }] }), "SIGNING_CONFIG_UNUSABLE"],
  [
    "a log of an interface we do not speak",
    config({ rekorTlogUrls: [{ ...one, majorApiVersion: 2 }] }),
    "SIGNING_CONFIG_UNUSABLE",
  ],
  ["timestamp authorities of which none is valid", config({ tsaUrls: [{ ...one, ...over }] }), "SIGNING_CONFIG_UNUSABLE"],
  ["fewer logs than wanted", config({ rekorTlogConfig: { selector: "EXACT", count: 3 } }), "SIGNING_CONFIG_UNUSABLE"],
  [
    "two logs of one operator where two are wanted",
    config({ rekorTlogUrls: [one, { ...two, operator: one.operator }], rekorTlogConfig: { selector: "EXACT", count: 2 } }),
    "SIGNING_CONFIG_UNUSABLE",
  ],
  ["plain http", config({ caUrls: [service("http://one.example")] }), "SIGNING_CONFIG_UNUSABLE"],
  ["http to a name like loopback", config({ caUrls: [service("http://127.0.0.1.example")] }), "SIGNING_CONFIG_UNUSABLE"],
  ["a user in the address", config({ caUrls: [service("https://me@one.example")] }), "SIGNING_CONFIG_UNUSABLE"],
  ["a query in the address", config({ caUrls: [service("https://one.example/?to=x")] }), "SIGNING_CONFIG_UNUSABLE"],
  ["another protocol", config({ caUrls: [service("file:///etc/passwd")] }), "SCHEMA_MISMATCH"],
];
for (const [name, value, code] of refused) {
  test(`a signing configuration with ${name} is refused`, () => assert.throws(() => parse(value), { code }));
}

test("services are chosen as the configuration says", () => {
  const urls = (value: unknown) => parse(value).logs.map(({ href }) => href);
  assert.deepEqual(urls(config()), ["https://one.example/"]);
  assert.deepEqual(urls(config({ rekorTlogConfig: { selector: "ALL" } })), ["https://one.example/", "https://two.example/"]);
  const both = { rekorTlogConfig: { selector: "EXACT", count: 2 } };
  assert.deepEqual(urls(config(both)), ["https://one.example/", "https://two.example/"]);
  assert.deepEqual(urls(config({ rekorTlogUrls: [{ ...one, ...over }, two] })), ["https://two.example/"]);
  for (const local of ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
    assert.equal(parse(config({ caUrls: [service(local)] })).certificateAuthority.origin, local);
});

test("parseSigningConfig returns or throws a coded error, nothing else", () => {
  const anything = fc.record({ caUrls: fc.jsonValue(), tsaUrls: fc.jsonValue(), rekorTlogConfig: fc.jsonValue() }).map(config);
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), anything), (value) => {
      try {
        parse(value);
      } catch (error) {
        assert.ok(error instanceof CodedError);
      }
    }),
  );
});
