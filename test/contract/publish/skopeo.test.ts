import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";
import { makeKeys, makeRelease } from "../release/fixture.ts";
import { namesIn, read } from "../release/forge.ts";
import { publisher } from "./command.ts";

// The peer: skopeo of the tool root, which moves artifacts between layouts and registries. Without a network.
const folder = new ToolFolder();
const { at, run, dispose } = publisher();
afterAll(() => {
  folder.remove();
  dispose();
});
const layout = join(folder.path, "layout");

beforeAll(async () => {
  makeKeys(at("keys"));
  await makeRelease(at("release"), at("keys"));
  await run([at("release"), "--to", `oci-layout:${layout}`, "--apply"]);
});

test("skopeo reads the layout as an artifact of our type", () => {
  const manifest = JSON.parse(folder.run("skopeo inspect --raw oci:layout:0.1.0")) as { artifactType: string; layers: unknown[] };
  expect(manifest.artifactType).toBe("application/vnd.secai-os.release.v1");
  expect(manifest.layers).toHaveLength(namesIn(at("release")).length);
});

test("what skopeo copied becomes the same release again", async () => {
  folder.run("skopeo --insecure-policy --tmpdir /tmp copy oci:layout:0.1.0 oci:copied:0.1.0");
  const { exit } = await run(["--restore", `oci-layout:${join(folder.path, "copied")}`, at("back"), "--apply"]);
  expect(exit).toBe(0);
  for (const name of namesIn(at("release")))
    expect(readFileSync(at(`back/${name}`)).equals(read(at("release"), name)), name).toBe(true);
});
