import { strict as assert } from "node:assert";
import { buildChannel, type Channel } from "@secai/formats/channel";
import { sha256 } from "@secai/formats/digest";
import { test } from "vitest";
import { bindingRefusals, type ChannelContext, CLOCK_SKEW_MS, freshnessRefusals } from "./trust-channel.ts";

const ISSUED = Date.parse("2026-03-01T00:00:00Z");
const channel = buildChannel({
  channel: "candidate",
  recipe: "debian-13",
  version: "1.2.0",
  minimumVersion: "1.0.0",
  sequence: 5,
  imageDigest: `sha256:${sha256("disk")}`,
  rootHash: sha256("root"),
  keys: { version: 2, sha256: sha256("keys") },
  nextKeys: null,
  issuedMs: ISSUED,
  lifetimeDays: 90,
});
const context: ChannelContext = {
  release: {
    designation: "candidate",
    recipe: "debian-13",
    version: "1.2.0",
    imageDigest: `sha256:${sha256("disk")}`,
    rootHash: sha256("root"),
  },
  keys: { version: 2, sha256: sha256("keys") },
  nowMs: ISSUED + 1000,
};
const EXPIRES = Date.parse(channel.expires);
const codes = (one: Channel, where: ChannelContext) =>
  [...freshnessRefusals(one, where), ...bindingRefusals(one, where)].map(({ code }) => code);

const refused: readonly { readonly name: string; readonly changes: Partial<ChannelContext>; readonly code: string }[] = [
  { name: "a day too late", changes: { nowMs: EXPIRES + 86_400_000 }, code: "CHANNEL_EXPIRED" },
  { name: "a millisecond too late", changes: { nowMs: EXPIRES + 1 }, code: "CHANNEL_EXPIRED" },
  { name: "before its issue", changes: { nowMs: ISSUED - CLOCK_SKEW_MS - 1 }, code: "CHANNEL_FROM_FUTURE" },
  { name: "after a newer sequence was seen", changes: { minimumSequence: 6 }, code: "CHANNEL_SEQUENCE_OLD" },
  { name: "below the caller's minimum", changes: { minimumVersion: "1.2.1" }, code: "CHANNEL_VERSION_OLD" },
  { name: "below it by number, not by letters", changes: { minimumVersion: "1.10.0" }, code: "CHANNEL_VERSION_OLD" },
  { name: "as a stable release", changes: { release: { ...context.release, designation: "stable" } }, code: "CHANNEL_OTHER" },
  {
    name: "of another recipe",
    changes: { release: { ...context.release, recipe: "silverblue-42" } },
    code: "CHANNEL_OTHER_RELEASE",
  },
  { name: "of another version", changes: { release: { ...context.release, version: "1.2.1" } }, code: "CHANNEL_OTHER_RELEASE" },
  {
    name: "with another image",
    changes: { release: { ...context.release, imageDigest: `sha256:${sha256("x")}` } },
    code: "CHANNEL_OTHER_RELEASE",
  },
  {
    name: "with another root",
    changes: { release: { ...context.release, rootHash: sha256("x") } },
    code: "CHANNEL_OTHER_RELEASE",
  },
  { name: "under other keys", changes: { keys: { version: 2, sha256: sha256("x") } }, code: "CHANNEL_KEYS_OTHER" },
  {
    name: "under another version of the keys",
    changes: { keys: { version: 3, sha256: sha256("keys") } },
    code: "CHANNEL_KEYS_OTHER",
  },
];
for (const { name, changes, code } of refused) {
  test(`a channel file ${name} is refused: ${code}`, () => assert.deepEqual(codes(channel, { ...context, ...changes }), [code]));
}

const accepted: readonly { readonly name: string; readonly changes: Partial<ChannelContext> }[] = [
  { name: "of its own release", changes: {} },
  { name: "in its last millisecond", changes: { nowMs: EXPIRES } },
  { name: "on a clock that is a little late", changes: { nowMs: ISSUED - CLOCK_SKEW_MS } },
  { name: "of the sequence that was seen", changes: { minimumSequence: 5 } },
  { name: "of the smallest version accepted", changes: { minimumVersion: "1.2.0" } },
];
for (const { name, changes } of accepted) {
  test(`a channel file ${name} is good`, () => assert.deepEqual(codes(channel, { ...context, ...changes }), []));
}
test("everything that is wrong is said", () => {
  assert.deepEqual(
    codes(channel, { ...context, nowMs: EXPIRES + 1, minimumSequence: 9, keys: { version: 1, sha256: sha256("") } }),
    ["CHANNEL_EXPIRED", "CHANNEL_SEQUENCE_OLD", "CHANNEL_KEYS_OTHER"],
  );
});
