import { expectMatch, expectNoMatch, expectTrue } from "../vm/expect.ts";
import { signAsModule } from "../vm/kernel-module.ts";
import type { Machine } from "../vm/machine.ts";
import type { Scenario } from "../vm/suite.ts";

const CONTENT = Buffer.from("Not a module; the kernel finds that out after it has taken the signature.\n");
/** EKEYREJECTED, which a locked-down kernel gives for a missing signature and an unknown key as well (kernel/module/signing.c). */
const KEY_REJECTED = /Key was rejected by service/;
/** ENOEXEC: the signature was taken, and what it was made over is no module. */
const NO_MODULE = /Invalid module format|Exec format error/;

/** What insmod and the kernel say of a file. */
async function insmod(machine: Machine, bytes: Uint8Array): Promise<{ readonly refusal: string; readonly log: string }> {
  await machine.succeeds("dmesg --clear");
  await machine.pushFile(bytes, "/run/module.ko");
  const { exitCode, stderr } = await machine.run("insmod /run/module.ko");
  expectTrue(exitCode !== 0, "a refusal", "the file was taken");
  return { refusal: stderr, log: await machine.succeeds("dmesg") };
}

export const moduleScenarios: readonly Scenario[] = [
  {
    id: "modules.signature",
    title:
      "A kernel module of a foreign key, or changed after signing, is refused; firmware's own keys are the only ones that count",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const { testKey, foreignKey } = test.bench;
      const trusted = await signAsModule(test.bench, CONTENT, testKey);
      const accepted = await insmod(machine, trusted);
      expectMatch(accepted.refusal, NO_MODULE, "what a key of db signed");
      expectNoMatch(accepted.log, /is rejected/, "the kernel's log of what a key of db signed");

      const foreign = await insmod(machine, await signAsModule(test.bench, CONTENT, foreignKey));
      expectMatch(foreign.refusal, KEY_REJECTED, "what a foreign key signed");
      expectMatch(foreign.log, /Loading of module with unavailable key is rejected/, "the kernel's log of a foreign key");

      const changed = Buffer.from(trusted);
      changed.writeUInt8(changed.readUInt8(0) ^ 1, 0);
      expectMatch((await insmod(machine, changed)).refusal, KEY_REJECTED, "a byte changed after signing");

      const unsigned = await insmod(machine, CONTENT);
      expectMatch(unsigned.refusal, KEY_REJECTED, "an unsigned file");
      expectMatch(unsigned.log, /Loading of unsigned module is rejected/, "the kernel's log of an unsigned file");
    },
  },
];
