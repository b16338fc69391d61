import { readFileSync, writeFileSync } from "node:fs";
import { sha256 } from "@secai/formats/digest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { setContentId } from "../../../pipelines/media/vmdk.ts";
import { ProgramFolder } from "./program.ts";

let folder: ProgramFolder;
beforeAll(async () => {
  folder = await ProgramFolder.open(["ova"]);
  folder.run("truncate -s 8M raw && head -c 300000 /dev/urandom | dd of=raw bs=64K seek=20 conv=notrunc status=none");
  folder.run("qemu-img convert -f raw -O qcow2 -c raw disk.qcow2 && qemu-img resize -q disk.qcow2 64M");
  writeFileSync(folder.at("disk.raw.zst"), "the compressed disk");
  writeFileSync(folder.at("ROOT_HASH"), `${"ab".repeat(32)}\n`);
  pack("one");
});
afterAll(() => folder.remove());

function pack(out: string): void {
  folder.program(
    "ova",
    {
      ...{ disk: "./disk.raw.zst", qcow2: "./disk.qcow2", "root-hash": "./ROOT_HASH", out: `./${out}/disk.ova` },
      ...{ name: "secai-os", title: 'A "test" & <more>', version: "1.2.3", cpus: "4", "memory-mib": "8192" },
    },
    out,
  );
  folder.run(`cd ${out} && tar -xf disk.ova`);
}

test("the package holds descriptor, manifest and disk, in this order, owned by nobody", () => {
  const rows = folder.run("tar --numeric-owner -tvf one/disk.ova").trim().split("\n");
  expect(rows.map((row) => [row.split(/\s+/)[1], row.split(/\s+/).at(-1)])).toEqual([
    ["0/0", "secai-os.ovf"],
    ["0/0", "secai-os.mf"],
    ["0/0", "secai-os.vmdk"],
  ]);
  expect(readFileSync(folder.at("one/disk.ova")).subarray(257, 263).toString("latin1")).toBe("ustar\0");
});

test("the manifest names the digests of both other files", () => {
  const line = (name: string) => `SHA256(${name})= ${sha256(readFileSync(folder.at(`one/${name}`)))}\n`;
  expect(readFileSync(folder.at("one/secai-os.mf"), "utf8")).toBe(`${line("secai-os.ovf")}${line("secai-os.vmdk")}`);
});

test("the disk reads back as what went in", () => {
  const info = JSON.parse(folder.run("qemu-img info --output=json one/secai-os.vmdk"));
  expect(info).toMatchObject({ format: "vmdk", "virtual-size": 64 << 20 });
  expect(info["format-specific"].data["create-type"]).toBe("streamOptimized");
  expect(folder.run("qemu-img compare -f vmdk -F qcow2 one/secai-os.vmdk disk.qcow2")).toMatch(/identical/);
  folder.run("qemu-img convert -f vmdk -O raw one/secai-os.vmdk back && cmp -n $((8 << 20)) back raw");
});

test("the descriptor is XML that names the image, the disk and the machine", () => {
  const at = (path: string) => folder.run(`xmllint --xpath '${path}' one/secai-os.ovf`).trim();
  const attribute = (name: string) => `@*[local-name()="${name}"]`;
  expect(at(`string(//*[local-name()="Property"][${attribute("key")}="secai.image-digest"]/${attribute("value")})`)).toBe(
    `sha256:${sha256("the compressed disk")}`,
  );
  expect(at(`string(//*[local-name()="File"]/${attribute("size")})`)).toBe(
    `${readFileSync(folder.at("one/secai-os.vmdk")).length}`,
  );
  expect(at(`string(//*[local-name()="Disk"]/${attribute("capacity")})`)).toBe(`${64 << 20}`);
  expect(at('string(//*[local-name()="Product"])')).toBe('A "test" & <more>');
  expect(at(`string(//*[local-name()="Config"][${attribute("key")}="firmware"]/${attribute("value")})`)).toBe("efi");
});

test("packing twice gives the same bytes", () => {
  pack("two");
  expect(sha256(readFileSync(folder.at("two/disk.ova")))).toBe(sha256(readFileSync(folder.at("one/disk.ova"))));
});

const refused = [
  { name: "a raw disk", bytes: () => readFileSync(folder.at("raw")) },
  { name: "an empty file", bytes: () => Buffer.alloc(0) },
  {
    name: "a descriptor with two content ids",
    bytes: () => {
      const bytes = readFileSync(folder.at("one/secai-os.vmdk"));
      bytes.write("CID=01234567\nCID=01234567\n", 512 + 1024, "latin1");
      return Buffer.from(bytes.subarray(0, 512 + 1024).map((byte, at) => (at > 512 && byte === 0 ? 10 : byte)));
    },
  },
];
for (const { name, bytes } of refused) {
  test(`setContentId refuses ${name}`, async () => {
    writeFileSync(folder.at("wrong.vmdk"), bytes());
    await expect(setContentId(folder.at("wrong.vmdk"), "01234567")).rejects.toThrow();
  });
}
for (const id of ["ffffffff", "fffffffe", "123", "0123456G", ""]) {
  test(`setContentId refuses the id ${JSON.stringify(id)}`, async () => {
    await expect(setContentId(folder.at("one/secai-os.vmdk"), id)).rejects.toThrow(/content id/);
  });
}
