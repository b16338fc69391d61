import { chmodSync, chownSync, linkSync, mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { sha256 } from "@secai/formats/digest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fileNameOf } from "../../../pipelines/file-names.ts";
import { AA64, peProgram, X64 } from "../../../pipelines/programs/efi.test-data.ts";
import { EPOCH, ProgramFolder } from "./program.ts";

const KERNEL_IMAGE = peProgram(X64, "the kernel image");

let folder: ProgramFolder;
beforeAll(async () => {
  folder = await ProgramFolder.open(["oci"]);
  makeTree("tree");
  writeFileSync(folder.at("disk.raw.zst"), "the compressed disk");
  writeFileSync(folder.at("uki.efi"), KERNEL_IMAGE);
  writeFileSync(folder.at("ROOT_HASH"), `${"ab".repeat(32)}\n`);
  build("one");
});
afterAll(() => folder.remove());

/** Only root can give a file away; inside the sandbox an ordinary user is seen as root (sandbox.ts). */
const isRoot = process.geteuid?.() === 0;
const group = isRoot ? 42 : (process.getegid?.() ?? 0);

function makeTree(name: string): void {
  mkdirSync(folder.at(`${name}/usr/bin`), { recursive: true });
  writeFileSync(folder.at(`${name}/usr/bin/tool`), "program\n");
  chmodSync(folder.at(`${name}/usr/bin/tool`), 0o755);
  linkSync(folder.at(`${name}/usr/bin/tool`), folder.at(`${name}/usr/bin/other`));
  symlinkSync("tool", folder.at(`${name}/usr/bin/link`));
  mkdirSync(folder.at(`${name}/etc`));
  writeFileSync(folder.at(`${name}/etc/shadow`), "secret\n");
  chownSync(folder.at(`${name}/etc/shadow`), process.geteuid?.() ?? 0, group);
  chmodSync(folder.at(`${name}/etc/shadow`), 0o640);
}

function build(out: string, tree = "tree"): void {
  folder.program(
    "oci",
    {
      ...{ tree: `./${tree}`, disk: "./disk.raw.zst", uki: "./uki.efi", "root-hash": "./ROOT_HASH", out: `./${out}` },
      ...{ title: "A test", version: "1.2.3", licenses: "Apache-2.0" },
    },
    out,
  );
}

/** As a release lays it out: what the step made, under the names that the plan gives it. */
function layOut(from: string, to: string): void {
  mkdirSync(folder.at(`${to}/blobs/sha256`), { recursive: true });
  for (const name of ["oci-layout", "index.json"])
    writeFileSync(folder.at(`${to}/${name}`), readFileSync(folder.at(`${from}/${name}`)));
  for (const name of ["manifest.json", "config.json", "layer.tar.zst"]) {
    const bytes = readFileSync(folder.at(`${from}/${name}`));
    writeFileSync(folder.at(`${to}/${fileNameOf("blobs/sha256/{blob}", sha256(bytes))}`), bytes);
  }
}

const read = (name: string) => JSON.parse(readFileSync(folder.at(name), "utf8"));

test("the platform is that of the kernel image", () => {
  writeFileSync(folder.at("uki.efi"), peProgram(AA64));
  build("arm64");
  writeFileSync(folder.at("uki.efi"), KERNEL_IMAGE);
  layOut("arm64", "layout-arm64");
  expect(JSON.parse(folder.run("skopeo --override-arch arm64 inspect oci:layout-arm64:1.2.3")).Architecture).toBe("arm64");
});

test("skopeo reads the layout and copies every blob, checking its digest", () => {
  layOut("one", "layout");
  const inspected = JSON.parse(folder.run("skopeo inspect oci:layout:1.2.3"));
  expect(inspected).toMatchObject({
    Architecture: "amd64",
    Os: "linux",
    Created: new Date(EPOCH * 1000).toISOString().replace(".000Z", "Z"),
    Labels: {
      "secai.image-digest": `sha256:${sha256("the compressed disk")}`,
      "secai.uki-sha256": sha256(KERNEL_IMAGE),
      "secai.root-hash": "ab".repeat(32),
      "org.opencontainers.image.version": "1.2.3",
    },
  });
  folder.run("skopeo copy --insecure-policy oci:layout:1.2.3 dir:copy");
  expect(readFileSync(folder.at("copy/manifest.json"))).toEqual(readFileSync(folder.at("one/manifest.json")));
});

test("skopeo refuses a layer with one bit changed", () => {
  layOut("one", "spoiled");
  const name = `spoiled/blobs/sha256/${sha256(readFileSync(folder.at("one/layer.tar.zst")))}`;
  const bytes = readFileSync(folder.at(name));
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  writeFileSync(folder.at(name), bytes);
  expect(() => folder.run("skopeo copy --insecure-policy oci:spoiled:1.2.3 dir:spoiled-copy")).toThrow(/[Dd]igest/);
});

test("the layer is the tree: owners, modes and links kept, one time, names sorted, no hard link", () => {
  const listed = folder.run("zstd -dc one/layer.tar.zst | tar --numeric-owner --full-time --utc -tvf -").trim().split("\n");
  const rows = listed.map((line) => line.replace(/\s+/g, " ").split(" "));
  expect(new Set(rows.map(([, , , day, time]) => `${day}T${time}`))).toEqual(
    new Set([new Date(EPOCH * 1000).toISOString().slice(0, 19)]),
  );
  const names = rows.map((row) => row[5]);
  expect(names).toEqual([
    "./",
    "./etc/",
    "./etc/shadow",
    "./usr/",
    "./usr/bin/",
    "./usr/bin/link",
    "./usr/bin/other",
    "./usr/bin/tool",
  ]);
  expect(rows.find((row) => row[5] === "./etc/shadow")?.slice(0, 3)).toEqual(["-rw-r-----", isRoot ? "0/42" : "0/0", "7"]);
  expect(rows.filter(([mode]) => mode?.startsWith("h"))).toEqual([]);
  const [diffId] = read("one/config.json").rootfs.diff_ids;
  expect(diffId).toBe(`sha256:${folder.run("zstd -dc one/layer.tar.zst | sha256sum").slice(0, 64)}`);
});

test("the same tree with other times and link counts gives the same bytes", () => {
  makeTree("again");
  folder.run("rm again/usr/bin/other && cp -p again/usr/bin/tool again/usr/bin/other");
  utimesSync(folder.at("again/usr/bin/tool"), 1, 1);
  build("two", "again");
  for (const name of ["oci-layout", "index.json", "manifest.json", "config.json", "layer.tar.zst"])
    expect(sha256(readFileSync(folder.at(`two/${name}`))), name).toBe(sha256(readFileSync(folder.at(`one/${name}`))));
});
