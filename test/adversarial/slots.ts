import { existsSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expectEqual, expectMatch, expectTrue } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { AUDIT_LOG, decide, readToken, verifyAuditOutside } from "../vm/policy-engine.ts";
import { emptySlot, installUpdate, UPDATE_VERSION } from "../vm/slot.ts";
import type { Scenario, Test } from "../vm/suite.ts";

const VERSION = "sed -n 's/^IMAGE_VERSION=//p' /usr/lib/os-release; tr ' ' '\\n' < /proc/cmdline | sed -n 's/^roothash=//p'";

/** Waits, over as many boots as it takes, for a complete start of the release's own slot. */
async function waitForFallback(test: Test, machine: Machine, boots: number): Promise<void> {
  const end = performance.now() + boots * (test.bench.limits.boot + test.bench.limits.settle);
  while (performance.now() < end) {
    const { stdout } = await machine.run(VERSION, { timeoutMs: 20_000 }).catch(() => ({ stdout: "" }));
    if (stdout.includes(test.release.rootHash)) return await machine.waitForRunning();
    expectTrue(machine.isRunning, "a machine that restarts by itself", machine.serial.tail(10));
    await sleep(1_000);
  }
  expectTrue(false, `slot ${test.release.rootHash}`, machine.serial.tail(10));
}

/** A failing service, injected by the update's own signed command line. */
function brokenService(): string {
  const dropIn = "[Service]\nExecStart=\nExecStart=/usr/bin/false\nRestart=no\n";
  const name = "systemd.unit-dropin.secure-ai-policy-engine.service~broken";
  return `systemd.import_credentials=yes systemd.set_credential_binary=${name}:${Buffer.from(dropIn).toString("base64")}`;
}

export const slotScenarios: readonly Scenario[] = [
  {
    id: "update.corrupted",
    title: "An update whose root is corrupted gives way to the old slot from the initrd, by itself: SECAI-SLOT-FALLBACK",
    needs: "boot",
    async run(test) {
      const { tpmState, variables } = await test.world.off();
      const disk = await test.disk("used");
      await installUpdate(
        test.bench,
        disk,
        test.release.read("uki.efi"),
        { tries: 1, extraArguments: "", pcrPolicy: "none" },
        test.world.uniqueName("update"),
      );
      await disk.flipByte(emptySlot(disk)[0].offset + 1024);
      const machine = await test.machine(disk, {}, { tpmState, variables });
      await machine.powerOn();
      await machine.waitForSerial(/SECAI-SLOT-FALLBACK: /, test.bench.limits.failedBoot);
      await waitForFallback(test, machine, 2);
      test.measure("recoveredMs", machine.uptimeMs);
    },
  },
  {
    id: "update.failing",
    title: "An update that starts but fails its health check gives way to the old slot, by itself: SECAI-HEALTH-FAILED",
    needs: "boot",
    async run(test) {
      const original = join(test.keyring, "pcr.key");
      if (!existsSync(original)) test.missing(`${original}, to sign an update's PCR policy`);
      const privateKey = join(test.bench.dir, "update-pcr.key");
      await copyFile(original, privateKey);
      const { tpmState, variables } = await test.world.off();
      const disk = await test.disk("used");
      const pcrPolicy = { privateKey, publicKey: join(test.bench.keysDir, "pcr.pub") };
      const update = { tries: 1, extraArguments: brokenService(), pcrPolicy };
      await installUpdate(test.bench, disk, test.release.read("uki.efi"), update, test.world.uniqueName("update"));
      const machine = await test.machine(disk, {}, { tpmState, variables });
      await machine.powerOn();
      await machine.waitForSerial(/SECAI-HEALTH-FAILED: /, test.bench.limits.boot + 2 * test.bench.limits.settle);
      await waitForFallback(test, machine, 3);
      test.measure("recoveredMs", machine.uptimeMs);
      const esp =
        "mkdir -p /run/secai-esp && umount /dev/disk/by-partlabel/esp 2>/dev/null; mount -o ro /dev/disk/by-partlabel/esp /run/secai-esp && ls /run/secai-esp/EFI/Linux";
      expectMatch(
        await machine.succeeds(esp),
        new RegExp(`secai_${UPDATE_VERSION.replaceAll(".", "\\.")}\\+0-1\\.efi`),
        "boot entries",
      );
    },
  },
  {
    id: "power-cut.first-boot",
    title: "Power cuts while first boot makes the encrypted state: the next boots finish the work",
    needs: "boot",
    async run(test) {
      const machine = await test.machine(await test.disk());
      for (const moment of ["test -e /dev/disk/by-partlabel/var", "cryptsetup isLuks /dev/disk/by-partlabel/var"]) {
        await machine.boot();
        await machine.waitUntil(moment, test.bench.limits.settle);
        await machine.powerCut();
      }
      await machine.boot();
      await machine.waitForRunning();
      expectMatch(await machine.succeeds("findmnt -n -o SOURCE /var"), /^\/dev\/mapper\/var$/m, "/var");
      const slots = await machine.succeeds("cryptsetup luksDump /dev/disk/by-partlabel/var | grep -cE '^  [0-9]+: luks2'");
      expectEqual(slots.trim(), "2", "key slots");
    },
  },
  {
    id: "power-cut.running",
    title: "A power cut while decisions are recorded loses none that was answered, and the machine comes up again",
    needs: "boot",
    async run(test) {
      const { tpmState, variables } = await test.world.off();
      const machine = await test.machine(await test.disk("used"), {}, { tpmState, variables });
      await machine.boot();
      await machine.waitForRunning();
      const token = await readToken(machine);
      let answered = 0;
      const load = Array.from({ length: 40 }, async (_, index) => {
        await sleep(index * 50);
        await decide(machine, token, { domain: "tool_access", subject: `cut-${index}-` }).then(
          ({ status }) => {
            answered += status === 200 ? 1 : 0;
          },
          () => undefined,
        );
      });
      while (answered < 10) await sleep(20);
      const before = answered;
      await machine.powerCut();
      await Promise.all(load);
      await machine.boot();
      await machine.waitForRunning();
      await verifyAuditOutside(test.bench, machine);
      const kept = Number(await machine.succeeds(`grep -c 'cut-[0-9]*-' ${AUDIT_LOG}`));
      test.measure("answered", before);
      expectTrue(kept >= before, `${before} records or more`, String(kept));
    },
  },
  {
    id: "crash.kernel",
    title: "A kernel panic restarts the machine by itself",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const before = await machine.bootId();
      await machine.crash();
      machine.serial.mark();
      await machine.waitForBoot(before, test.bench.limits.boot + 60_000);
      await machine.waitForRunning();
    },
  },
  {
    id: "reset.button",
    title: "The reset button in the middle of work costs a boot, not the machine",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const before = await machine.bootId();
      await machine.succeeds("(while :; do head -c 100000 /dev/urandom > /var/tmp/busy; done) >/dev/null 2>&1 &");
      await machine.reset();
      await machine.waitForBoot(before, test.bench.limits.boot);
      await machine.waitForRunning();
    },
  },
  {
    id: "clock.stopped",
    title: "A clock that jumps decades ahead or back does not stop the services",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      for (const date of ["2055-01-01", "2001-01-01"]) {
        await machine.succeeds(`date -s ${date} >/dev/null`);
        await machine.waitForPort(8500, test.bench.limits.command);
        expectEqual(
          (await machine.run("systemctl is-active secure-ai-policy-engine.service")).stdout.trim(),
          "active",
          `policy engine in ${date}`,
        );
      }
    },
  },
];
