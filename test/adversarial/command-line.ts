import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createAddon, type TestKey } from "../vm/addon.ts";
import { runtimeVerdict } from "../vm/attest.ts";
import { expectEqual, expectMatch, expectNoMatch } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import type { Scenario, Test } from "../vm/suite.ts";

/** A word that does nothing but show up. */
const SMUGGLED = "secai.smuggled=1";

/** Boots with another addon beside the test agent's and expects its word not to reach the kernel. */
async function bootsWithoutAddon(test: Test, key: TestKey | undefined): Promise<Machine> {
  const disk = await test.disk();
  const path = join(test.bench.dir, `${test.world.uniqueName("evil")}.addon.efi`);
  await createAddon(test.bench.tools, path, SMUGGLED, key);
  await disk.putEsp(path, "/loader/addons/evil.addon.efi");
  const machine = await test.machine(disk);
  test.measure("agentMs", await machine.boot());
  expectNoMatch(await machine.succeeds("cat /proc/cmdline"), new RegExp(SMUGGLED), "/proc/cmdline");
  return machine;
}

export const commandLineScenarios: readonly Scenario[] = [
  {
    id: "addon.release-policy",
    title: "The release's own policy refuses a machine with a (validly signed) addon: BOOT_ADDON_PRESENT",
    needs: "shared",
    smoke: true,
    async run(test) {
      const { verdict, failures } = await runtimeVerdict(test.release, test.bench, await test.shared(), { trust: "release" });
      expectEqual(verdict, "rejected", "verdict");
      for (const code of ["BOOT_ADDON_PRESENT", "BOOT_CHAIN", "SECURE_BOOT_KEYS"])
        expectEqual(failures.includes(code), true, code);
      expectEqual(failures.includes("BOOT_UKI"), false, "BOOT_UKI, although the kernel image is the release's");
    },
  },
  {
    id: "addon.unsigned",
    title: "An unsigned addon in the ESP is not loaded",
    needs: "boot",
    run: async (test) => {
      await bootsWithoutAddon(test, undefined);
    },
  },
  {
    id: "addon.foreign-key",
    title: "An addon signed with a key that firmware does not hold is not loaded",
    needs: "boot",
    run: async (test) => {
      await bootsWithoutAddon(test, test.bench.foreignKey);
    },
  },
  {
    id: "command-line.smbios",
    title:
      "What the hypervisor appends to the command line (SMBIOS) costs the machine its attestation and its volume key: BOOT_ADDON, SECAI-VAR-TPM-REFUSED",
    needs: "boot",
    async run(test) {
      // systemd-stub takes this also under Secure Boot, and measures it into PCR 12 (systemd-stub(7)).
      const oemStrings = [`io.systemd.stub.kernel-cmdline-extra=${SMUGGLED}`];
      const { tpmState, variables } = await test.world.off();
      const machine = await test.machine(await test.disk("used"), { oemStrings }, { tpmState, variables });
      await machine.powerOn();
      await machine.waitForSerial(/SECAI-VAR-TPM-REFUSED: /, test.bench.limits.boot + test.bench.limits.settle);
      await machine.waitForBoot(undefined, test.bench.limits.boot);
      expectMatch(await machine.succeeds("cat /proc/cmdline"), new RegExp(SMUGGLED), "/proc/cmdline, as a control");
      await machine.fails("test -e /dev/mapper/var");
      const { verdict, failures } = await runtimeVerdict(test.release, test.bench, machine, { trust: "test" });
      expectEqual(verdict, "rejected", "verdict");
      expectEqual(failures.includes("BOOT_ADDON"), true, "BOOT_ADDON");
    },
  },
  {
    id: "command-line.container",
    title:
      "A command line that makes the system take itself for a container, which would have no gate, never leaves the initrd: SECAI-SLOT-RETRY",
    needs: "boot",
    async run(test) {
      const oemStrings = ["io.systemd.stub.kernel-cmdline-extra=container=lxc"];
      const { tpmState, variables } = await test.world.off();
      const machine = await test.machine(await test.disk("used"), { oemStrings }, { tpmState, variables });
      await machine.powerOn();
      await machine.waitForSerial(/Detected virtualization lxc/, test.bench.limits.boot);
      await machine.waitForSerial(/SECAI-SLOT-RETRY: /, test.bench.limits.boot);
      expectNoMatch(machine.serial.text(), /Started secure-ai-/, "console");
    },
  },
  {
    id: "command-line.loader-entry",
    title: "A boot entry file with its own options cannot add to the command line of the signed kernel image",
    needs: "boot",
    async run(test) {
      const disk = await test.disk();
      const name = (await disk.listEsp("/EFI/Linux")).find((entry) => entry.startsWith("secai_")) ?? "";
      const entry = join(test.bench.dir, `${test.world.uniqueName("entry")}.conf`);
      await writeFile(entry, `title evil\nsort-key 0\nefi /EFI/Linux/${name}\noptions init=/bin/sh ${SMUGGLED}\n`);
      await disk.putEsp(entry, "/loader/entries/evil.conf");
      const loader = join(test.bench.dir, `${test.world.uniqueName("loader")}.conf`);
      await writeFile(loader, "default evil.conf\ntimeout 0\n");
      await disk.putEsp(loader, "/loader/loader.conf");
      const machine = await test.machine(disk);
      test.measure("agentMs", await machine.boot());
      expectNoMatch(await machine.succeeds("cat /proc/cmdline"), new RegExp(SMUGGLED), "/proc/cmdline");
    },
  },
  {
    id: "credential.smbios",
    title: "The hypervisor cannot hand the system a unit to run (SMBIOS io.systemd.credential)",
    needs: "boot",
    async run(test) {
      // Without the test addon, which switches imports on; the console shows whether the unit ran.
      const unit =
        "[Service]\nType=oneshot\nStandardOutput=file:/dev/console\nExecStart=/bin/sh -c 'echo SMUGGLED-UNIT-RAN >/dev/console'\n[Unit]\nDefaultDependencies=no\n";
      const encoded = Buffer.from(unit).toString("base64");
      const dropIn = Buffer.from("[Unit]\nWants=smuggled.service\n").toString("base64");
      const oemStrings = [
        `io.systemd.credential.binary:systemd.extra-unit.smuggled.service=${encoded}`,
        `io.systemd.credential.binary:systemd.unit-dropin.multi-user.target~smuggled=${dropIn}`,
      ];
      const machine = await test.machine(await test.disk("release"), { oemStrings });
      await machine.powerOn();
      await machine.waitForSerial(/This console has no login/, test.bench.limits.boot + test.bench.limits.settle);
      expectNoMatch(machine.serial.text(), /SMUGGLED-UNIT-RAN/, "console");
    },
  },
];
