import { expectEqual, expectMatch, expectNoMatch } from "../vm/expect.ts";
import type { Scenario } from "../vm/suite.ts";
import { beforeReboot, REBOOT_MARK } from "../vm/world.ts";
import { RECOVERY_KEY } from "./storage.ts";

export const restartScenarios: readonly Scenario[] = [
  {
    id: "restart.state",
    title: "A restart keeps /var and the machine's identity",
    needs: "fork",
    async run(test) {
      test.measure("restartMs", (await test.world.second()).agentMs);
      const machine = await test.forkSecond();
      expectEqual((await machine.succeeds(`cat ${REBOOT_MARK}`)).trim(), "kept", "a file in /var");
      const before = await beforeReboot(machine);
      expectEqual((await machine.succeeds("cat /etc/machine-id")).trim(), before.machineId, "machine id");
      expectEqual((await machine.bootId()) === before.bootId, false, "the same boot");
    },
  },
  {
    id: "restart.unlock",
    title: "The second boot opens /var with the TPM and shows no recovery key",
    needs: "fork",
    async run(test) {
      const { console: first } = await test.world.first();
      const { console: both } = await test.world.second();
      const later = both.startsWith(first) ? both.slice(first.length) : both;
      expectNoMatch(later, RECOVERY_KEY, "console of the second boot");
      expectNoMatch(later, /SECAI-VAR-|Please enter|passphrase/i, "console of the second boot");
      const machine = await test.forkSecond();
      expectMatch(await machine.succeeds("findmnt -n -o SOURCE /var"), /^\/dev\/mapper\/var$/m, "/var");
    },
  },
  {
    id: "restart.journal",
    title: "The journal of the boot before is still there",
    needs: "fork",
    async run(test) {
      const machine = await test.forkSecond();
      const before = await beforeReboot(machine);
      const boots = await machine.succeeds("journalctl --list-boots --no-pager -q");
      expectMatch(boots, new RegExp(before.bootId.replaceAll("-", "")), "boots in the journal");
    },
  },
  {
    id: "restart.failures-forgotten",
    title: "No boot failure is counted after a healthy boot",
    needs: "fork",
    async run(test) {
      const machine = await test.forkSecond();
      await machine.fails("ls /sys/firmware/efi/efivars/SecureAiBootFailures-*");
    },
  },
  {
    id: "restart.shutdown",
    title: "An orderly power off ends the machine",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const started = performance.now();
      await machine.shutdown();
      test.measure("shutdownMs", performance.now() - started);
    },
  },
];
