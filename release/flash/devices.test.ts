import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { findDisk, listDisks } from "./devices.ts";
import { deviceNumber } from "./image.ts";
import { requireFree } from "./refuse.ts";

const top = mkdtempSync(join(tmpdir(), "secai-sys-"));
afterAll(() => rmSync(top, { recursive: true, force: true }));
const files = { sys: join(top, "sys"), proc: join(top, "proc") };

/** A machine as the kernel would show it: files by path below /sys or /proc. */
function put(tree: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(tree)) {
    mkdirSync(dirname(join(top, path)), { recursive: true });
    writeFileSync(join(top, path), content);
  }
}
const disk = (name: string, number: string, sectors: number, more: Readonly<Record<string, string>> = {}) =>
  put({
    [`sys/block/${name}/dev`]: `${number}\n`,
    [`sys/block/${name}/size`]: `${sectors}\n`,
    [`sys/block/${name}/ro`]: "0\n",
    [`sys/block/${name}/removable`]: "0\n",
    ...Object.fromEntries(Object.entries(more).map(([path, content]) => [`sys/block/${name}/${path}`, content])),
  });

disk("sda", "8:0", 4096, {
  "sda1/dev": "8:1\n",
  "sda1/partition": "1\n",
  "sda2/dev": "8:2\n",
  "sda2/partition": "2\n",
  "sda2/holders/dm-0": "",
});
disk("dm-0", "253:0", 4000, { "holders/dm-1": "" });
disk("dm-1", "253:1", 3000);
disk("sdb", "8:16", 4096, { removable: "1\n", "device/vendor": "Evil   \n", "device/model": "\u001b[31mStick\n" });
disk("sdc", "8:32", 4096, { "sdc1/dev": "8:33\n", "sdc1/partition": "1\n" });
disk("nvme0n1", "259:0", 8192, { "nvme0n1p1/dev": "259:1\n", "nvme0n1p1/partition": "1\n" });
disk("md0", "9:0", 100, { ro: "1\n" });
disk("sdd", "8:48", 4096, { "holders/md0": "" });
disk("sr0", "11:0", 0);
disk("zram0", "252:0", 100);
put({
  "proc/self/mountinfo": [
    "20 1 253:1 / / rw - ext4 /dev/mapper/root rw",
    "21 20 0:40 / /mnt/with\\040space rw,relatime shared:1 - btrfs /dev/nvme0n1p1 rw",
    "22 20 0:41 / /tmp rw - tmpfs tmpfs rw",
    "",
  ].join("\n"),
  "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/sdc1 partition 100 0 -2\n",
});
mkdirSync(join(top, "sys/dev/block"), { recursive: true });
symlinkSync("../../devices/pci/sdb", join(top, "sys/dev/block/8:16"));
symlinkSync("../../devices/pci/sda/sda1", join(top, "sys/dev/block/8:1"));
symlinkSync("../../devices/virtual/block/dm-0", join(top, "sys/dev/block/253:0"));

const found = (name: string) => {
  const one = listDisks(files).find((candidate) => candidate.name === name);
  if (one === undefined) throw new Error(name);
  return one;
};
const intent = { imageSize: 1024, imageOn: "7:7" };

const refused = [
  { name: "sda", why: "the root file system on LVM on encryption on its second partition", code: "FLASH_SYSTEM_DISK", intent },
  { name: "nvme0n1", why: "a mount whose number is not the partition's", code: "FLASH_DEVICE_MOUNTED", intent },
  { name: "sdc", why: "swap on a partition", code: "FLASH_DEVICE_HELD", intent },
  { name: "sdd", why: "a RAID upon it", code: "FLASH_DEVICE_HELD", intent },
  { name: "md0", why: "read-only", code: "FLASH_DEVICE_READ_ONLY", intent },
  { name: "sdb", why: "one byte too small", code: "FLASH_DEVICE_TOO_SMALL", intent: { ...intent, imageSize: 4096 * 512 + 1 } },
  { name: "sdb", why: "the image on it", code: "FLASH_IMAGE_ON_DEVICE", intent: { ...intent, imageOn: "8:16" } },
];
test.each(refused)("$name is refused: $why", ({ name, code, intent: wanted }) => {
  expect(() => requireFree(found(name), wanted)).toThrow(expect.objectContaining({ code }));
});

test("a free disk of just the right size is none of these", () => {
  expect(requireFree(found("sdb"), { ...intent, imageSize: 4096 * 512 })).toBeUndefined();
});

test("drives without a medium, memory disks and mappings are not listed; a device's own name reaches no terminal raw", () => {
  expect(listDisks(files).map(({ name }) => name)).toEqual(["md0", "nvme0n1", "sda", "sdb", "sdc", "sdd"]);
  expect(found("sdb").model).toBe("Evil ?[31mStick");
  expect(found("nvme0n1").mounts).toEqual(["/mnt/with space"]);
  expect(found("sda")).toMatchObject({ holders: ["dm-0", "dm-1"], numbers: ["8:0", "8:1", "8:2", "253:0", "253:1"] });
});

test("a number is a whole disk, a part of one, or nothing", () => {
  expect(findDisk("8:16", files)).toMatchObject({ name: "sdb", removable: true });
  expect(findDisk("8:1", files)).toBe("not-a-disk");
  expect(findDisk("253:0", files)).toBe("not-a-disk");
  expect(findDisk("8:99", files)).toBeUndefined();
});

test("device numbers are unpacked as makedev(3) packs them", () => {
  expect(deviceNumber(0x0801)).toBe("8:1");
  expect(deviceNumber(0x10_0302)).toBe("3:258");
  expect(deviceNumber(2 ** 44)).toBe("4096:0");
});
