import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import { canonicalJson } from "./canonical-json.ts";
import { buildChannel, channelBytes, parseChannel } from "./channel.ts";
import { sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";
import { instantMs, instantOf } from "./instant.ts";

const good = buildChannel({
  channel: "stable",
  recipe: "debian-13",
  version: "1.2.0",
  minimumVersion: "1.1.0",
  sequence: 7,
  imageDigest: `sha256:${sha256("disk")}`,
  rootHash: sha256("root"),
  keys: { version: 2, sha256: sha256("keys") },
  nextKeys: { version: 3, sha256: sha256("next") },
  issuedMs: Date.parse("2026-03-01T12:00:00.999Z"),
  lifetimeDays: 90,
});
const bytesOf = (value: unknown) => Buffer.from(`${canonicalJson(value)}\n`);

const rejected: readonly { readonly name: string; readonly changes: object }[] = [
  { name: "another schema", changes: { schema: 2 } },
  { name: "an unknown member", changes: { notes: "" } },
  { name: "no minimum", changes: { minimumVersion: undefined } },
  { name: "an unknown channel", changes: { channel: "nightly" } },
  { name: "a recipe that escapes", changes: { recipe: "../x" } },
  { name: "a version that is an option", changes: { version: "-1" } },
  { name: "a minimum above its version", changes: { minimumVersion: "1.2.1" } },
  { name: "a minimum above its version by number, not by letters", changes: { minimumVersion: "1.10.0" } },
  { name: "a release candidate of its own minimum", changes: { version: "1.1.0~rc1" } },
  { name: "sequence 0", changes: { sequence: 0 } },
  { name: "half a sequence", changes: { sequence: 1.5 } },
  { name: "a digest without its prefix", changes: { imageDigest: sha256("disk") } },
  { name: "a root hash with one", changes: { rootHash: `sha256:${sha256("root")}` } },
  { name: "an expiry at its issue", changes: { expires: good.issued } },
  { name: "an expiry before its issue", changes: { expires: "2026-02-28T00:00:00Z" } },
  { name: "an expiry on 29 February of a common year", changes: { expires: "2027-02-29T00:00:00Z" } },
  { name: "an expiry at second 60", changes: { expires: "2026-12-31T23:59:60Z" } },
  { name: "keys of version 0", changes: { keys: { version: 0, sha256: sha256("keys") } } },
  { name: "next keys of the same version", changes: { nextKeys: { version: 2, sha256: sha256("next") } } },
  { name: "next keys that skip a version", changes: { nextKeys: { version: 4, sha256: sha256("next") } } },
];
for (const { name, changes } of rejected) {
  test(`a channel file with ${name} is refused`, () =>
    assert.throws(() => parseChannel(bytesOf({ ...good, ...changes })), { code: "SCHEMA_MISMATCH" }));
}

test("a channel file is what its bytes say, and begins with a whole second", () => {
  assert.deepEqual(parseChannel(channelBytes(good)), good);
  assert.deepEqual([good.issued, good.expires], ["2026-03-01T12:00:00Z", "2026-05-30T12:00:00Z"]);
});
test("a channel file of another spelling or size is refused", () => {
  assert.throws(() => parseChannel(Buffer.from(JSON.stringify(good))), { code: "JSON_NOT_CANONICAL" });
  assert.throws(() => parseChannel(Buffer.alloc((1 << 16) + 1, " ")), { code: "JSON_TOO_LARGE" });
});
test("a channel that would never have been valid is not built", () => {
  assert.throws(() => buildChannel({ ...good, issuedMs: instantMs(good.issued), lifetimeDays: 0 }), FormatError);
});
test("parseChannel returns or throws FormatError, nothing else", () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.tuple(fc.constantFrom(...Object.keys(good)), fc.jsonValue()).map(([member, one]) => ({ ...good, [member]: one })),
  );
  fc.assert(
    fc.property(value, (one) => {
      try {
        parseChannel(bytesOf(one));
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error));
      }
    }),
  );
});

test("an instant and its milliseconds are one", () => {
  const noSoonerThan = { min: new Date("1000-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true };
  fc.assert(
    fc.property(fc.date(noSoonerThan), (date) => {
      const second = Math.floor(date.getTime() / 1000) * 1000;
      assert.equal(instantMs(instantOf(date.getTime())), second);
    }),
  );
});
