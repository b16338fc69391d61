import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { setContentId } from "./vmdk.ts";

const folder = mkdtempSync(join(tmpdir(), "secai-vmdk-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const DESCRIPTOR_AT = 512;

/** A VMDK's header and one sector of descriptor. */
function vmdk(name: string, descriptor: string): string {
  const bytes = Buffer.alloc(1024);
  bytes.writeUInt32LE(0x564d444b, 0);
  bytes.writeBigUInt64LE(16n, 12);
  bytes.writeBigUInt64LE(1n, 28);
  bytes.writeBigUInt64LE(1n, 36);
  bytes.write(descriptor, DESCRIPTOR_AT, "latin1");
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

test("what a longer content id left behind the text's end does not get into the file", async () => {
  const clean = vmdk("clean", "version=1\nCID=12345678\nparentCID=ffffffff\n");
  const left = vmdk("left", "version=1\nCID=1234567\nparentCID=ffffffff\n\0\n");
  expect(await setContentId(clean, "00abcdef")).toBe(16 * 512);
  await setContentId(left, "00abcdef");
  expect(readFileSync(left)).toEqual(readFileSync(clean));
  expect(readFileSync(clean, "latin1").slice(DESCRIPTOR_AT).replace(/\0+$/, "")).toBe(
    "version=1\nCID=00abcdef\nparentCID=ffffffff\n",
  );
});

test("a descriptor that fills its sectors to the last byte is read whole", async () => {
  const head = "CID=12345678\n#";
  const path = vmdk("full", head + "x".repeat(512 - head.length));
  await setContentId(path, "00abcdef");
  expect(readFileSync(path, "latin1").slice(DESCRIPTOR_AT)).toBe(`CID=00abcdef\n#${"x".repeat(512 - head.length)}`);
});
