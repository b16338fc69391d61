import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeKeys, makeRelease } from "../release/fixture.ts";
import { flip, namesIn, read } from "../release/forge.ts";
import { publisher } from "./command.ts";

const { at, run, dispose } = publisher();
afterAll(dispose);
const dir = at("release");

beforeAll(async () => {
  makeKeys(at("keys"));
  await makeRelease(dir, at("keys"));
  await makeRelease(at("other"), at("keys"), { files: { "disk.qcow2": { content: "another disk\n" } } });
});

function expectSame(copy: string): void {
  expect(namesIn(copy)).toEqual(namesIn(dir));
  for (const name of namesIn(dir)) expect(read(copy, name).equals(read(dir, name)), name).toBe(true);
}
/** Nothing half-made is left beside the targets. */
const noRemains = () => expect(readdirSync(at(".")).filter((name) => name.startsWith("."))).toEqual([]);

describe.each(["dir", "oci-layout"])("%s", (kind) => {
  const out = at(`out-${kind}`);
  const publish = (...more: readonly string[]) => run([dir, "--to", `${kind}:${out}`, ...more]);

  test("a dry run makes nothing; --apply makes the whole; again finds it there", async () => {
    expect((await publish()).stdout).toContain("Nothing was sent");
    expect(existsSync(out)).toBe(false);
    expect((await publish("--apply")).stdout).toContain(`${namesIn(dir).length} files written`);
    expect((await publish("--apply")).stdout).toContain("0 files written");
    noRemains();
  });

  test("a target that holds another release, or one changed byte, is left as it is", async () => {
    const before = JSON.stringify(readdirSync(out, { recursive: true }));
    await expect(run([at("other"), "--to", `${kind}:${out}`, "--apply"])).rejects.toMatchObject({
      code: "PUBLISH_TARGET_DIFFERS",
    });
    expect(JSON.stringify(readdirSync(out, { recursive: true }))).toBe(before);
    cpSync(out, at(`spoilt-${kind}`), { recursive: true });
    const disk = kind === "dir" ? "disk.raw.zst" : `blobs/sha256/${sha256(read(dir, "disk.raw.zst"))}`;
    flip(at(`spoilt-${kind}`), disk, 3);
    await expect(run([dir, "--to", `${kind}:${at(`spoilt-${kind}`)}`, "--apply"])).rejects.toMatchObject({
      code: "PUBLISH_TARGET_DIFFERS",
    });
    rmSync(join(at(`spoilt-${kind}`), disk));
    await expect(run([dir, "--to", `${kind}:${at(`spoilt-${kind}`)}`, "--apply"])).rejects.toMatchObject({
      code: "PUBLISH_TARGET_DIFFERS",
    });
  });

  test("an interrupt leaves nothing", async () => {
    const signal = AbortSignal.abort(new Error("interrupted"));
    const args = [dir, "--to", `${kind}:${at(`never-${kind}`)}`, "--apply"];
    await expect(run(args, { signal })).rejects.toMatchObject({ code: "PUBLISH_INTERRUPTED" });
    expect(existsSync(at(`never-${kind}`))).toBe(false);
    noRemains();
  });

  test("a folder that is not there", async () => {
    await expect(run([dir, "--to", `${kind}:${at("no/such")}`, "--apply"])).rejects.toMatchObject({
      code: "PUBLISH_TARGET_FAILED",
    });
  });
});

test("a copy has the same files, readable by all", () => {
  expectSame(at("out-dir"));
  expect(statSync(join(at("out-dir"), "uki.efi")).mode & 0o777).toBe(0o644);
});

describe("an OCI layout", () => {
  const layout = at("out-oci-layout");
  const json = (path: string) => JSON.parse(readFileSync(join(layout, path), "utf8")) as Record<string, unknown>;

  test("is one artifact of our type, a layer a file, every blob under its digest", () => {
    const { manifests } = json("index.json") as { manifests: { digest: string; artifactType: string }[] };
    expect(manifests).toMatchObject([{ artifactType: "application/vnd.secai-os.release.v1" }]);
    const manifest = json(`blobs/sha256/${manifests[0]?.digest.slice(7)}`) as {
      layers: { annotations: Record<string, string> }[];
    };
    expect(manifest.layers.map(({ annotations }) => annotations["org.opencontainers.image.title"]).toSorted()).toEqual(
      namesIn(dir),
    );
    expect(manifest).toMatchObject({ annotations: { "secai.image-digest": read(dir, "IMAGE_DIGEST").toString().trim() } });
    for (const name of readdirSync(join(layout, "blobs/sha256")))
      expect(sha256(readFileSync(join(layout, "blobs/sha256", name)))).toBe(name);
  });

  test("is the same bytes each time", async () => {
    await run([dir, "--to", `oci-layout:${at("again")}`, "--apply"]);
    expect(readFileSync(at("again/index.json")).equals(readFileSync(join(layout, "index.json")))).toBe(true);
  });

  test("becomes the same directory again, verified before it appears", async () => {
    const args = ["--restore", `oci-layout:${layout}`, at("restored")];
    expect((await run(args)).exit).toBe(0);
    expect(existsSync(at("restored"))).toBe(false);
    expect((await run([...args, "--apply"])).exit).toBe(0);
    expectSame(at("restored"));
    await expect(run([...args, "--apply"])).rejects.toMatchObject({ code: "PUBLISH_TARGET_DIFFERS" });
    noRemains();
  });

  const spoilt: readonly { readonly name: string; readonly spoil: (dir: string) => void; readonly code: string }[] = [
    {
      name: "a blob that is not its digest",
      spoil: (path) => flip(path, `blobs/sha256/${sha256(read(dir, "uki.efi"))}`, 0),
      code: "PUBLISH_FILE_CHANGED",
    },
    {
      name: "a manifest that is not its digest",
      spoil: (path) => flip(path, manifestOf(path), 20),
      code: "PUBLISH_SOURCE_MALFORMED",
    },
    { name: "no index", spoil: (path) => rmSync(join(path, "index.json")), code: "PUBLISH_SOURCE_MALFORMED" },
    {
      name: "another version of layout",
      spoil: (path) => writeFileSync(join(path, "oci-layout"), '{"imageLayoutVersion":"9"}'),
      code: "SCHEMA_MISMATCH",
    },
    { name: "a file name that leaves the folder", spoil: (path) => rename(path, "uki.efi", "../evil"), code: "SCHEMA_MISMATCH" },
    { name: "a name twice", spoil: (path) => rename(path, "uki.efi", "bootx64.efi"), code: "PUBLISH_SOURCE_MALFORMED" },
    { name: "a file under another's name", spoil: (path) => rename(path, "uki.efi", "uki2.efi"), code: "GATE_REJECTED" },
    {
      name: "an artifact of another type",
      spoil: (path) => replace(path, "vnd.secai-os.release.v1", "vnd.other.thing.v1"),
      code: "PUBLISH_SOURCE_MALFORMED",
    },
  ];
  test.each(spoilt)("with $name is refused", async ({ spoil, code }) => {
    rmSync(at("spoilt"), { recursive: true, force: true });
    cpSync(layout, at("spoilt"), { recursive: true });
    spoil(at("spoilt"));
    await expect(run(["--restore", `oci-layout:${at("spoilt")}`, at("unspoilt"), "--apply"])).rejects.toMatchObject({ code });
    expect(existsSync(at("unspoilt"))).toBe(false);
    noRemains();
  });
});

interface Index {
  manifests: { digest: string; size: number }[];
}
const indexOf = (layout: string) => JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as Index;
const manifestOf = (layout: string) => `blobs/sha256/${indexOf(layout).manifests[0]?.digest.slice(7)}`;

/** Changes the manifest as somebody would who can also write the index. */
function replace(layout: string, from: string, to: string): void {
  const old = manifestOf(layout);
  const manifest = readFileSync(join(layout, old), "utf8").replaceAll(from, to);
  const index = readFileSync(join(layout, "index.json"), "utf8").replace(/"size":\d+/, `"size":${Buffer.byteLength(manifest)}`);
  writeFileSync(join(layout, "blobs/sha256", sha256(manifest)), manifest);
  writeFileSync(join(layout, "index.json"), index.replace(old.slice("blobs/sha256/".length), sha256(manifest)));
}
const rename = (layout: string, from: string, to: string) =>
  replace(layout, `"org.opencontainers.image.title":"${from}"`, `"org.opencontainers.image.title":"${to}"`);

describe("assets that are not a release", () => {
  const spoilt: readonly { readonly name: string; readonly files: Readonly<Record<string, string>>; readonly code: string }[] = [
    { name: "a name that no file has", files: { "keys___release.pub": "x" }, code: "PUBLISH_NAME_AMBIGUOUS" },
    { name: "a hidden file", files: { ".profile": "x" }, code: "FILE_NAME_UNSAFE" },
    { name: "files that nobody signed", files: { "keys__release.pub": "x" }, code: "GATE_REJECTED" },
  ];
  test.each(spoilt)("$name", async ({ files, code }) => {
    rmSync(at("assets"), { recursive: true, force: true });
    mkdirSync(at("assets"));
    for (const [name, content] of Object.entries(files)) writeFileSync(at(`assets/${name}`), content);
    await expect(run(["--restore", `assets:${at("assets")}`, at("unmade"), "--apply"])).rejects.toMatchObject({ code });
    expect(existsSync(at("unmade"))).toBe(false);
  });
});
