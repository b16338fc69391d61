import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { RECOVERY_KEY } from "../acceptance/storage.ts";
import { VmError } from "../vm/errors.ts";
import { expectEqual, expectMatch } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import type { Scenario, Test } from "../vm/suite.ts";
import { rebuildUki } from "../vm/uki.ts";

const REFUSAL = /SECAI-VAR-TPM-REFUSED: /;

/** The recovery key that the first boot has shown. */
async function recoveryKey(test: Test): Promise<string> {
  const [key] = (await test.world.first()).console.match(RECOVERY_KEY) ?? [];
  if (key === undefined) throw new VmError("CHECK_FAILED", { expected: "a recovery key on the console", actual: "none" });
  return key;
}

/** Boots a machine whose TPM must not release the key; it asks for the recovery key and has opened nothing. */
async function staysLocked(test: Test, machine: Machine): Promise<void> {
  await machine.powerOn();
  await machine.waitForSerial(REFUSAL, test.bench.limits.boot + test.bench.limits.settle);
  test.measure("refusedAfterMs", machine.uptimeMs);
  await machine.waitForBoot(undefined, test.bench.limits.boot);
  await machine.fails("test -e /dev/mapper/var");
  expectEqual(
    (await machine.run("systemctl is-active secure-ai-policy-engine.service")).stdout.trim() === "active",
    false,
    "services without their state",
  );
}

export const storageScenarios: readonly Scenario[] = [
  {
    id: "storage.other-tpm",
    title:
      "The disk in a machine with another TPM stays locked, takes no wrong key, and opens with the recovery key: SECAI-VAR-TPM-REFUSED",
    needs: "boot",
    async run(test) {
      const key = await recoveryKey(test);
      const machine = await test.machine(await test.disk("used"));
      await staysLocked(test, machine);
      await machine.serial.type(`${key.replaceAll(/[a-z]/g, "c")}\r`);
      await machine.waitUntil("sleep 3; ! test -e /dev/mapper/var", test.bench.limits.command);
      await machine.serial.type(`${key}\r`);
      await machine.waitForRunning();
      expectMatch(await machine.succeeds("findmnt -n -o SOURCE /var"), /^\/dev\/mapper\/var$/m, "/var");
    },
  },
  {
    id: "storage.other-keys",
    title: "With another key enrolled in the firmware the TPM does not release the volume key (PCR 7): SECAI-VAR-TPM-REFUSED",
    needs: "boot",
    async run(test) {
      const { tpmState } = await test.world.off();
      const extraDb = [test.bench.foreignKey.certificatePath];
      await staysLocked(test, await test.machine(await test.disk("used"), {}, { tpmState, extraDb }));
    },
  },
  {
    id: "storage.secure-boot-off",
    title: "With Secure Boot switched off the TPM does not release the volume key: SECAI-VAR-TPM-REFUSED",
    needs: "boot",
    async run(test) {
      const { tpmState } = await test.world.off();
      await staysLocked(test, await test.machine(await test.disk("used"), { secureBoot: false }, { tpmState }));
    },
  },
  {
    id: "storage.stale-policy",
    title: "A kernel image that boots but carries the PCR signature of another one gets no volume key: SECAI-VAR-TPM-REFUSED",
    needs: "boot",
    async run(test) {
      const { tpmState, variables } = await test.world.off();
      const disk = await test.disk("used");
      const dir = join(test.bench.dir, test.world.uniqueName("stale"));
      await mkdir(dir);
      const change = { commandLine: (old: string) => `${old} secai.altered=1`, pcrPolicy: "stale" } as const;
      const uki = await rebuildUki(test.bench.tools, dir, test.release.read("uki.efi"), change, test.bench.testKey);
      const [name] = await disk.listEsp("/EFI/Linux");
      await disk.putEsp(uki, `/EFI/Linux/${name}`);
      const machine = await test.machine(disk, {}, { tpmState, variables });
      await staysLocked(test, machine);
      expectMatch(await machine.succeeds("cat /proc/cmdline"), /secai\.altered=1/, "the altered image, as a control");
    },
  },
];
