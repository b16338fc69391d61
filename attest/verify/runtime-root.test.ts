import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { rootFromSysfs } from "./runtime-root.ts";

const HASH = "ab".repeat(32);
const MOUNT = "25 1 254:0 / / ro,relatime shared:1 - erofs /dev/mapper/root ro\n";
const UUID = `CRYPT-VERITY-${"cd".repeat(16)}-root\n`;
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "secai-root-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function look(change: { mountinfo?: string; uuid?: string; cmdline?: string } = {}) {
  const { mountinfo = MOUNT, uuid = UUID, cmdline = `quiet roothash=${HASH} console=ttyS0\n` } = change;
  for (const [path, text] of Object.entries({
    "proc/self/mountinfo": mountinfo,
    "proc/cmdline": cmdline,
    "sys/dev/block/254:0/dm/uuid": uuid,
  })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return rootFromSysfs(root);
}
const sealed = { verity: "verified", hash: HASH, readOnly: true };

test("a root on its verity device, read-only, with the hash of the command line", () => expect(look()).toEqual(sealed));
test("only the root mount counts, and of several the last", () => {
  expect(look({ mountinfo: `${MOUNT}26 25 254:1 / /var rw - ext4 /dev/mapper/var rw\n` })).toEqual(sealed);
  expect(look({ mountinfo: `${MOUNT}27 25 0:40 / / rw - tmpfs tmpfs rw\n` })).toMatchObject({
    verity: "absent",
    readOnly: false,
  });
});
const weaker: {
  name: string;
  change: Parameters<typeof look>[0];
  answer: Partial<typeof sealed | { hash: null }> & Record<string, unknown>;
}[] = [
  { name: "writable", change: { mountinfo: MOUNT.replace("ro,", "rw,") }, answer: { readOnly: false } },
  { name: "a LUKS device", change: { uuid: "CRYPT-LUKS2-ab-root\n" }, answer: { verity: "absent" } },
  { name: "a verity device of another name", change: { uuid: UUID.replace("root", "usr") }, answer: { verity: "absent" } },
  { name: "no device-mapper device", change: { mountinfo: MOUNT.replace("254:0", "8:1") }, answer: { verity: "absent" } },
  { name: "a device that is a path", change: { mountinfo: MOUNT.replace("254:0", "../../x:0") }, answer: { verity: "absent" } },
  { name: "no mounts", change: { mountinfo: "" }, answer: { verity: "absent", readOnly: false } },
  { name: "no root hash", change: { cmdline: "quiet" }, answer: { hash: null } },
  { name: "two root hashes", change: { cmdline: `roothash=${HASH} roothash=${HASH}` }, answer: { hash: null } },
  { name: "a short root hash", change: { cmdline: "roothash=abcd" }, answer: { hash: null } },
];
for (const { name, change, answer } of weaker) test(name, () => expect(look(change)).toMatchObject(answer));
