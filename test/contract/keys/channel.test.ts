import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type ChannelRequest, issueChannel } from "@secai/release/channel/issue";
import { ensureKeyManifest } from "@secai/release/keys/ensure";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KeysDirectory } from "./keys-directory.ts";

let directory: KeysDirectory;
let request: ChannelRequest;
beforeEach(async () => {
  directory = new KeysDirectory();
  const keys = await ensureKeyManifest(directory.path);
  request = {
    keysDir: directory.path,
    channel: "candidate",
    recipe: "debian-13",
    version: "1.0.0",
    imageDigest: `sha256:${sha256("disk")}`,
    rootHash: sha256("root"),
    keys,
    nowMs: Date.parse("2026-03-01T00:00:00Z"),
  };
});
afterEach(() => directory.remove());

const numbers = () => readdirSync(join(directory.path, "channels", "candidate-debian-13")).sort();

test("sequence numbers grow, each channel and recipe on its own", async () => {
  const issued = [
    await issueChannel(request),
    await issueChannel(request),
    await issueChannel({ ...request, channel: "stable" }),
  ];
  expect(issued.map(({ sequence }) => sequence)).toEqual([1, 2, 1]);
  expect(issued[0]).toMatchObject({
    expires: "2026-05-30T00:00:00Z",
    minimumVersion: "0",
    keys: { version: 1, sha256: request.keys.sha256 },
  });
});
test("of many at once each gets a number of its own", async () => {
  const issued = await Promise.all(Array.from({ length: 8 }, () => issueChannel(request)));
  expect(issued.map(({ sequence }) => sequence).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});
test("a minimum once raised stays", async () => {
  await issueChannel({ ...request, minimumVersion: "1.0.0" });
  expect(await issueChannel({ ...request, version: "1.10.0" })).toMatchObject({ minimumVersion: "1.0.0", sequence: 2 });
  await expect(issueChannel({ ...request, version: "1.0.0~rc1" })).rejects.toMatchObject({ code: "CHANNEL_BELOW_MINIMUM" });
  await expect(issueChannel({ ...request, minimumVersion: "0.9" })).rejects.toMatchObject({ code: "CHANNEL_MINIMUM_LOWERED" });
  expect(numbers()).toEqual(["1.json", "2.json"]);
});
test("facts that no reader accepts take no number", async () => {
  await issueChannel(request);
  await expect(issueChannel({ ...request, rootHash: "x" })).rejects.toMatchObject({ code: "SCHEMA_MISMATCH" });
  await expect(issueChannel({ ...request, lifetimeDays: 0 })).rejects.toMatchObject({ code: "SCHEMA_MISMATCH" });
  expect(numbers()).toEqual(["1.json"]);
});
for (const record of ["", "{}", '{"version":"1","minimumVersion":1,"imageDigest":"x"}']) {
  test(`a record of ${record || "no bytes"} stops the numbering`, async () => {
    await issueChannel(request);
    writeFileSync(join(directory.path, "channels/candidate-debian-13/2.json"), record);
    await expect(issueChannel(request)).rejects.toMatchObject({ code: "CHANNEL_STATE_BROKEN" });
  });
}
