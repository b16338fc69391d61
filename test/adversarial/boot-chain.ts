import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { signPe } from "../vm/addon.ts";
import type { RawDisk } from "../vm/disk.ts";
import { expectNoMatch } from "../vm/expect.ts";
import type { Scenario, Test } from "../vm/suite.ts";
import { unsignPe } from "../vm/uki.ts";

const LOADER = "/EFI/BOOT/BOOTX64.EFI";

async function kernelImage(disk: RawDisk): Promise<string> {
  const name = (await disk.listEsp("/EFI/Linux")).find((entry) => entry.startsWith("secai_"));
  return `/EFI/Linux/${name}`;
}

type Change = (test: Test, input: string, output: string) => Promise<void>;

/** Changes one file of the ESP, boots, and waits for the refusal; the kernel must not have said a word. */
async function refusesFile(test: Test, path: (disk: RawDisk) => Promise<string>, change: Change, refusal: RegExp): Promise<void> {
  const disk = await test.disk();
  const target = await path(disk);
  const dir = join(test.bench.dir, test.world.uniqueName("pe"));
  await mkdir(dir);
  await disk.getEsp(target, join(dir, "original.efi"));
  await change(test, join(dir, "original.efi"), join(dir, "changed.efi"));
  await disk.putEsp(join(dir, "changed.efi"), target);
  const machine = await test.machine(disk);
  await machine.powerOn();
  await machine.waitForSerial(refusal, test.bench.limits.boot);
  test.measure("refusedAfterMs", machine.uptimeMs);
  await machine.waitForSerial(/No bootable option or device was found|failed to load Boot\d{4}/, test.bench.limits.boot);
  expectNoMatch(machine.serial.text(), /Linux version|EFI stub|systemd\[1\]/, "console");
}

/** Changes the lowest bit of the byte at this share of the file. */
function flipAt(share: number): Change {
  return async (test, input, output) => {
    await test.bench.tools.run(["cp", input, output]);
    const file = await open(output, "r+");
    try {
      const position = Math.floor((await file.stat()).size * share);
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position);
      await file.write(Uint8Array.of((buffer[0] ?? 0) ^ 1), 0, 1, position);
    } finally {
      await file.close();
    }
  };
}

const unsigned: Change = async (test, input, output) => await unsignPe(test.bench.tools, input, output);
const foreign: Change = async (test, input, output) => {
  await unsignPe(test.bench.tools, input, `${output}.unsigned`);
  await signPe(test.bench.tools, `${output}.unsigned`, output, test.bench.foreignKey);
};

/** systemd-boot's words for EFI_ACCESS_DENIED and EFI_SECURITY_VIOLATION, and the firmware's own. */
const LOADER_REFUSES = /Error (loading|preparing).*(Access denied|Security violation)/i;
const FIRMWARE_REFUSES = /failed to load Boot\d{4}.*(Access Denied|Security Violation)/i;

export const bootChainScenarios: readonly Scenario[] = [
  {
    id: "uki.flipped",
    title: "A kernel image with one bit flipped is not started: Access denied",
    needs: "boot",
    smoke: true,
    run: async (test) => await refusesFile(test, kernelImage, flipAt(0.5), LOADER_REFUSES),
  },
  {
    id: "uki.unsigned",
    title: "An unsigned kernel image is not started: Access denied",
    needs: "boot",
    run: async (test) => await refusesFile(test, kernelImage, unsigned, LOADER_REFUSES),
  },
  {
    id: "uki.foreign-key",
    title: "A kernel image signed with a key that firmware does not hold is not started: Access denied",
    needs: "boot",
    run: async (test) => await refusesFile(test, kernelImage, foreign, LOADER_REFUSES),
  },
  {
    id: "loader.flipped",
    title: "A boot loader with one bit flipped is not started: the firmware says Access Denied",
    needs: "boot",
    run: async (test) => await refusesFile(test, async () => LOADER, flipAt(0.3), FIRMWARE_REFUSES),
  },
  {
    id: "loader.unsigned",
    title: "An unsigned boot loader is not started: the firmware says Access Denied",
    needs: "boot",
    run: async (test) => await refusesFile(test, async () => LOADER, unsigned, FIRMWARE_REFUSES),
  },
  {
    id: "loader.foreign-key",
    title: "A boot loader signed with a key that firmware does not hold is not started: the firmware says Access Denied",
    needs: "boot",
    run: async (test) => await refusesFile(test, async () => LOADER, foreign, FIRMWARE_REFUSES),
  },
];
