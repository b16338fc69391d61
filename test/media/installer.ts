import { copyFile, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { RECOVERY_KEY } from "../acceptance/storage.ts";
import { expectMatch } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import type { Scenario, Test } from "../vm/suite.ts";
import { addAgent, expectAttested, mediumPath, scratch, toRaw } from "./medium.ts";

const PROMPT = /Name of the disk to install on .*: $/m;
/** Writing and reading back 700 MB through an emulated processor. */
const INSTALL_LIMIT_MS = 300_000;

async function file(path: string, bytes: number): Promise<string> {
  const created = await open(path, "wx");
  await created.truncate(bytes);
  await created.close();
  return path;
}

/** Types a line and waits for what the installer says to it. */
async function answer(
  test: Test,
  machine: Machine,
  line: string,
  expected: RegExp,
  limitMs = test.bench.limits.command,
): Promise<string> {
  machine.serial.mark();
  await machine.serial.type(`${line}\r`);
  return await machine.waitForSerial(expected, limitMs);
}

async function refused(test: Test, machine: Machine, disk: string, why: RegExp): Promise<void> {
  await answer(test, machine, disk, PROMPT);
  expectMatch(machine.serial.recent(), why, `answer to ${disk}`);
}

async function empty(test: Test): Promise<{ readonly path: string; readonly format: "qcow2" }> {
  const path = scratch(test, "empty");
  await test.bench.tools.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8G"]);
  return { path, format: "qcow2" };
}

export const installerScenarios: readonly Scenario[] = [
  {
    id: "media.iso",
    title: "installer.iso installs onto an empty disk that is named and confirmed, and onto no other; the disk boots and attests",
    needs: "boot",
    async run(test) {
      const { bench, release } = test;
      const medium = scratch(test, "medium");
      await copyFile(release.file("installer.iso"), medium);
      const small = await file(scratch(test, "small"), 2 ** 30);
      const drives = [
        { kind: "optical", path: mediumPath(test, "installer.iso") },
        { kind: "disk", path: medium },
        { kind: "disk", path: small },
      ] as const;
      const machine = await test.machine(await empty(test), { drives });
      await machine.powerOn();
      await machine.waitForSerial(PROMPT, bench.limits.boot);
      test.measure("promptMs", machine.uptimeMs);
      expectMatch(machine.serial.text(), new RegExp(`installs image ${release.imageDigest}$`, "m"), "the image it names");
      await refused(test, machine, "vdz", /There is no disk of this name/);
      // The bench's own read-only disk comes first.
      await refused(test, machine, "vdb", /Not possible: read-only/);
      await refused(test, machine, "vdc", /Not possible: an installation medium/);
      await refused(test, machine, "vdd", /Not possible: smaller than 8 GiB/);
      await answer(test, machine, "vda", /erase vda\n> $/m);
      await refused(test, machine, "yes", /Not confirmed. Nothing was written/);
      await answer(test, machine, "vda", /erase vda\n> $/m);
      const started = performance.now();
      await answer(test, machine, "erase vda", /Take the medium out/, INSTALL_LIMIT_MS);
      test.measure("installMs", performance.now() - started);
      expectMatch(machine.serial.recent(), new RegExp(`^image +${release.imageDigest}$`, "m"), "what was installed");
      // The disk is first in firmware's order: what starts now is what was installed, and its first boot shows the recovery key.
      await answer(test, machine, "", new RegExp(RECOVERY_KEY.source), bench.limits.boot);
      // Not a power cut: QEMU must have let go of the disk before it is read.
      await machine.qmp.execute("quit");
      await machine.waitForPowerOff(bench.limits.shutdown);
      await rm(medium);
      await attestInstalled(test, machine);
    },
  },
  {
    id: "media.iso-stick",
    title: "installer.iso written to a USB stick starts under Secure Boot and asks for a disk",
    needs: "boot",
    async run(test) {
      const drives = [{ kind: "stick", path: mediumPath(test, "installer.iso") }] as const;
      const machine = await test.machine(await empty(test), { drives });
      await machine.powerOn();
      await machine.waitForSerial(PROMPT, test.bench.limits.boot);
      test.measure("promptMs", machine.uptimeMs);
      expectMatch(machine.serial.text(), /^ {2}vda {2}8192 MiB {2}serial secai-system$/m, "the disk that it offers");
    },
  },
];

/** The same machine, its TPM and its firmware's variables, with the test addon in the ESP. */
async function attestInstalled(test: Test, before: Machine): Promise<void> {
  const disk = await toRaw(test, join(before.dir, "disk.qcow2"), "qcow2");
  await addAgent(test, disk);
  const kept = { variables: join(before.dir, "vars.fd"), tpmState: join(before.dir, "tpm") };
  await expectAttested(test, await test.machine(disk, {}, kept));
}
