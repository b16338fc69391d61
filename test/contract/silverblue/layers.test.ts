import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../../attest/formats/digest.ts";
import type { TarEntry } from "../../../pipelines/silverblue/tar-read.ts";
import { END_OF_ARCHIVE, entryHeader, padding } from "../../../pipelines/silverblue/tar-write.ts";
import { type Layer, PLATFORM, writeImage } from "./base.ts";
import { Bench, EPOCH } from "./bench.ts";

// Layers that no container engine makes, and what a build says of them.
let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
});
afterAll(() => bench.remove());

type Part = Partial<TarEntry> & { readonly path: string; readonly content?: string };

function archive(...parts: readonly Part[]): Buffer {
  const blocks = parts.flatMap(({ content = "", ...part }) => {
    const entry: TarEntry = {
      ...{ type: "file", mode: 0o644, uid: 0, gid: 0, size: content.length, link: "", xattrs: new Map() },
      ...part,
    };
    return [entryHeader(entry, EPOCH), Buffer.from(content), padding(content.length)];
  });
  return Buffer.concat([...blocks, END_OF_ARCHIVE]);
}

const layer = (...parts: readonly Part[]): Layer => ({ archive: archive(...parts), compression: "gzip" });

function unpack(name: string, layers: readonly Layer[]): { readonly code: string; readonly flags: Record<string, string> } {
  const digest = writeImage(bench, name, layers);
  const flags = { image: `./${name}`, digest, platform: PLATFORM, out: `./${name}-root`, facts: `./${name}.json` };
  return { code: bench.refusal("base", flags), flags };
}

const file = (path: string, content = "x"): Part => ({ path, content });
const link = (path: string, to: string): Part => ({ path, type: "link", link: to });
const symlink = (path: string, to: string): Part => ({ path, type: "symlink", link: to });
const folder = (path: string): Part => ({ path, type: "directory", mode: 0o755 });

const unsafe: readonly { name: string; layers: readonly Layer[] }[] = [
  { name: "an absolute path", layers: [layer(file("/etc/passwd"))] },
  { name: "a path that leads upwards", layers: [layer(file("../outside"))] },
  { name: "a path that leads upwards on the way", layers: [layer(file("etc/../../outside"))] },
  { name: "a path with an empty part", layers: [layer(file("etc//passwd"))] },
  { name: "a file through a symbolic link of the same layer", layers: [layer(symlink("etc", "/tmp"), file("etc/passwd"))] },
  {
    name: "a file through a symbolic link of a lower layer",
    layers: [layer(symlink("etc", "../../.."), folder("x")), layer(file("etc/passwd"))],
  },
  { name: "a file below a file", layers: [layer(file("etc"), file("etc/passwd"))] },
  { name: "a hard link that leads out", layers: [layer(link("passwd", "../../etc/passwd"))] },
  { name: "a hard link through a symbolic link", layers: [layer(symlink("out", "/"), link("passwd", "out/etc/passwd"))] },
  { name: "a hard link to what is not there", layers: [layer(link("a", "b"))] },
  { name: "a hard link to a folder", layers: [layer(folder("a"), link("b", "a"))] },
  { name: "a whiteout of the folder above", layers: [layer(file("a/b")), layer(file("a/.wh...", ""))] },
  { name: "a whiteout without a name", layers: [layer(file("a/.wh.", ""))] },
  { name: "a whiteout through a symbolic link", layers: [layer(symlink("a", "/etc")), layer(file("a/.wh.passwd", ""))] },
  { name: "a whiteout with content", layers: [layer(file("a/.wh.b", "content"))] },
  { name: "a whiteout that is a link", layers: [layer(file("b"), symlink("a/.wh.b", "b"))] },
  { name: "an unknown kind of whiteout", layers: [layer(file("a/.wh..wh.plnk", ""))] },
  { name: "the same path twice", layers: [layer(file("a"), file("a", "y"))] },
  { name: "a root that is a file", layers: [layer({ path: ".", type: "file" })] },
  {
    name: "an attribute of overlayfs",
    layers: [layer({ ...file("a"), xattrs: new Map([["trusted.overlay.opaque", Buffer.from("y")]]) })],
  },
  { name: "an owner that no build can make", layers: [layer({ ...file("a"), uid: 4_000_000_000 })] },
  { name: "a control character in a name", layers: [layer(file("a\nb"))] },
];
for (const [index, { name, layers }] of unsafe.entries())
  test(`refuses ${name}, and writes nothing`, () => {
    expect(unpack(`unsafe-${index}`, layers).code).toBe("LAYER_UNSAFE");
    expect(readdirSync(bench.at(`unsafe-${index}-root`))).toEqual([]);
  });

const good = archive(file("etc/passwd", "root"));
const edited = (edit: (bytes: Buffer) => void): Layer => {
  const bytes = Buffer.from(good);
  edit(bytes);
  return { archive: bytes, compression: "none" };
};
/** Writes the checksum of the header block at `at` anew. */
function seal(bytes: Buffer, at: number): void {
  bytes.write("        ", at + 148, "latin1");
  const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
}
const typed = (type: string): Layer =>
  edited((bytes) => {
    bytes.write(type, 156, "latin1");
    seal(bytes, 0);
  });

const malformed: readonly { name: string; layer: Layer }[] = [
  { name: "no end", layer: { archive: good.subarray(0, -1024), compression: "none" } },
  { name: "half an end", layer: { archive: good.subarray(0, -512), compression: "none" } },
  {
    name: "something after its end",
    layer: { archive: Buffer.concat([good, Buffer.alloc(511), Buffer.from("x")]), compression: "none" },
  },
  { name: "less content than its header says", layer: { archive: good.subarray(0, 515), compression: "none" } },
  { name: "a wrong header checksum", layer: edited((bytes) => bytes.write("X", 0)) },
  { name: "a device", layer: typed("3") },
  { name: "a pipe", layer: typed("6") },
  { name: "a sparse file", layer: typed("S") },
  { name: "a global header", layer: typed("g") },
  {
    name: "a name that is no UTF-8",
    layer: edited((bytes) => {
      bytes.writeUInt8(0xff, 0);
      seal(bytes, 0);
    }),
  },
  {
    name: "a size that is no number",
    layer: edited((bytes) => {
      bytes.write("99999999999", 124, "latin1");
      seal(bytes, 0);
    }),
  },
];
for (const [index, { name, layer: one }] of malformed.entries())
  test(`refuses an archive with ${name}`, () => expect(unpack(`malformed-${index}`, [one]).code).toBe("TAR_MALFORMED"));

test("refuses a blob with one bit changed, before it is unpacked", () => {
  const { flags } = unpack("changed", [layer(file("a"))]);
  const blobs = bench.at("changed/blobs/sha256");
  const [packed = ""] = readdirSync(blobs).filter((name) => readFileSync(bench.at("changed/blobs/sha256", name))[0] === 0x1f);
  const bytes = readFileSync(bench.at("changed/blobs/sha256", packed));
  bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20);
  writeFileSync(bench.at("changed/blobs/sha256", packed), bytes);
  bench.tools("rm -r changed-root");
  expect(bench.refusal("base", flags)).toBe("BASE_DIGEST_MISMATCH");
});

test("refuses a layer whose content is not what the configuration names", () => {
  const archives = [archive(file("a")), archive(file("b"))];
  const digest = writeImage(bench, "swapped", [{ archive: archives[0] ?? good, compression: "gzip" }]);
  const blobs = bench.at("swapped/blobs/sha256");
  const manifest = JSON.parse(readFileSync(`${blobs}/${digest.slice(7)}`, "utf8"));
  const other = gzipSync(archives[1] ?? good);
  const [entry] = manifest.layers;
  const changed = Buffer.from(
    JSON.stringify({ ...manifest, layers: [{ ...entry, digest: `sha256:${sha256(other)}`, size: other.length }] }),
  );
  for (const bytes of [other, changed]) writeFileSync(`${blobs}/${sha256(bytes)}`, bytes);
  const flags = {
    image: "./swapped",
    digest: `sha256:${sha256(changed)}`,
    platform: PLATFORM,
    out: "./swapped-root",
    facts: "./swapped.json",
  };
  expect(bench.refusal("base", flags)).toBe("BASE_DIGEST_MISMATCH");
});

test("refuses an image for another platform, and a digest that is no digest", () => {
  const { flags } = unpack("platform", [layer(file("a"))]);
  expect(bench.refusal("base", { ...flags, platform: "linux/arm64", out: "./none" })).toBe("BASE_MANIFEST_MALFORMED");
  expect(bench.refusal("base", { ...flags, digest: "42", out: "./none" })).toBe("BASE_MANIFEST_MALFORMED");
  expect(bench.refusal("base", { ...flags, digest: `sha256:${"00".repeat(32)}`, out: "./none" })).toBe("BASE_DIGEST_MISMATCH");
});

test("a folder over a file, a file over a folder and a link over both: the upper layer wins", () => {
  const lower = layer(file("a"), folder("b"), file("b/c"), file("d"));
  const upper = layer(folder("a"), file("a/new", "inside"), file("b", "a file now"), symlink("d", "/nowhere"));
  expect(unpack("types", [lower, upper]).code).toBe("accepted");
  expect(bench.tools("cat types-root/a/new types-root/b; readlink types-root/d")).toBe("insidea file now/nowhere\n");
});
