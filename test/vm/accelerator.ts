import { existsSync } from "node:fs";
import { access, constants, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parsePe, sectionContent } from "../../attest/measure/pe.ts";
import { VmError } from "./errors.ts";
import { isRunning, killProcess } from "./processes.ts";
import type { Accelerator } from "./qemu.ts";
import type { Tools } from "./tools.ts";

const PROBE_LIMIT_MS = 8_000;
/** A kernel without any root file system gets exactly this far; nothing earlier proves that the CPU runs it. */
const PROOF = /VFS: Unable to mount root fs/;

/**
 * Whether this host can really run machines with KVM. The device file proves nothing: a nested or paravirtual KVM may open and then
 * fail on the first real instruction, so the release's own kernel is booted, without initrd, until it asks for its root.
 */
export async function probeAccelerator(tools: Tools, dir: string, uki: string): Promise<Accelerator> {
  if (process.arch !== tools.platform.hostArchitecture) return "tcg";
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return "tcg";
  }
  const kernel = join(dir, "probe.vmlinuz");
  await writeFile(kernel, kernelOf(await readFile(uki)));
  return (await bootsWithKvm(tools, dir, kernel)) ? "kvm" : "tcg";
}

/** The kernel inside a unified kernel image (systemd-stub(7)). @throws MeasureError PE_MALFORMED */
function kernelOf(uki: Uint8Array): Uint8Array {
  const file = parsePe(uki);
  const section = file.sections.find(({ name }) => name === ".linux");
  if (section === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "a .linux section in the UKI", actual: "none" });
  return sectionContent(file, section);
}

async function bootsWithKvm(tools: Tools, dir: string, kernel: string): Promise<boolean> {
  const log = join(dir, "probe.serial.log");
  const qemu = tools.start(
    [
      ...[tools.platform.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...[...tools.platform.board(false), "-accel", "kvm", "-cpu", "host", "-m", "512", "-serial", `file:${log}`],
      ...["-kernel", kernel, "-append", `console=${tools.platform.console} panic=-1`],
    ],
    join(dir, "probe.qemu.log"),
    ["/dev/kvm"],
  );
  const end = performance.now() + PROBE_LIMIT_MS;
  try {
    while (isRunning(qemu) && performance.now() < end) {
      if (await saw(log)) return true;
      await sleep(100);
    }
    return await saw(log);
  } finally {
    await killProcess(qemu);
  }
}

async function saw(log: string): Promise<boolean> {
  return existsSync(log) && PROOF.test(await readFile(log, "latin1"));
}
