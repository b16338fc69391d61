import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { constants, existsSync, rmSync } from "node:fs";
import { chmod, copyFile, cp, mkdir, mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toolCommand } from "../../pipelines/engine/sandbox.ts";
import { probeAccelerator } from "./accelerator.ts";
import { unpackDisk } from "./disk.ts";
import { VmError } from "./errors.ts";
import { createVariables } from "./firmware.ts";
import { platformOf } from "./platform.ts";
import { killProcess, onTermination } from "./processes.ts";
import { type Accelerator, DEFAULT_SHAPE, type MachineShape, qemuArguments } from "./qemu.ts";
import type { Release } from "./release.ts";
import { Tools } from "./tools.ts";
import { createTpmState, startTpm } from "./tpm.ts";

/** A machine that somebody uses at a terminal: nothing of the test bench is in it, and its state stays from one start to the next. */
export interface TerminalMachine {
  readonly release: Release;
  readonly toolRoot: string;
  /** Disk, firmware variables and TPM; made at the first start. */
  readonly stateDir: string;
  readonly cpus: number;
  readonly memoryMib: number;
  /** Probed when absent. */
  readonly accelerator?: Accelerator;
}

const PARTS = ["disk.qcow2", "vars.fd", "tpm"] as const;

/**
 * Boots and waits until the power goes off.
 * @param onStart is called when everything is ready, just before the terminal becomes the machine's
 * @throws VmError HARNESS_TOOL_FAILED, HARNESS_QEMU_FAILED, CAPABILITY_MISSING
 */
export async function runOnTerminal(
  machine: TerminalMachine,
  onStart: (start: { first: boolean; accelerator: Accelerator }) => void,
): Promise<void> {
  const shortcuts = await mkdtemp(join(tmpdir(), "secai-boot-"));
  const cleanUp = (): void => {
    restoreTerminal();
    rmSync(shortcuts, { recursive: true, force: true });
  };
  const release = onTermination(cleanUp);
  try {
    await mkdir(machine.stateDir, { recursive: true, mode: 0o700 });
    // A socket's path may have 108 bytes (unix(7)), a checkout's may be longer: everything goes through a short link.
    const dir = join(shortcuts, "m");
    await symlink(machine.stateDir, dir);
    await runIn(dir, machine, onStart);
  } finally {
    release();
    cleanUp();
  }
}

async function runIn(
  dir: string,
  machine: TerminalMachine,
  onStart: (start: { first: boolean; accelerator: Accelerator }) => void,
): Promise<void> {
  const { release, cpus, memoryMib } = machine;
  const tools = new Tools(machine.toolRoot, dir, release.dir);
  const first = !PARTS.every((name) => existsSync(join(dir, name)));
  if (first) await makeParts(tools, release, dir);
  const accelerator = machine.accelerator ?? (await probe(tools, release, dir));
  const shape = { ...DEFAULT_SHAPE, cpus, memoryMib };
  for (const socket of ["tpm.sock", "qmp.sock"]) await rm(join(dir, socket), { force: true });
  const tpm = await startTpm(tools, join(dir, "tpm"), join(dir, "tpm.sock"), join(dir, "swtpm.log"));
  onStart({ first, accelerator });
  try {
    await ended(startQemu(machine.toolRoot, dir, shape, accelerator));
  } finally {
    await killProcess(tpm);
  }
}

async function probe(tools: Tools, release: Release, dir: string): Promise<Accelerator> {
  const scratch = join(dir, "probe");
  await mkdir(scratch, { recursive: true });
  const accelerator = await probeAccelerator(tools, scratch, release.file("uki.efi"));
  await rm(scratch, { recursive: true });
  return accelerator;
}

/** The machine's own copies; each appears under its name only when it is whole. The release's files are only read. */
async function makeParts(tools: Tools, release: Release, dir: string): Promise<void> {
  const fresh = join(dir, "new");
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  const ownerGuid = release.measurements().secureBoot.ownerGuid;
  await copyDisk(tools, release, fresh);
  const keysDir = join(fresh, "keys");
  await cp(release.file("keys"), keysDir, { recursive: true });
  await createVariables(tools, { keysDir, ownerGuid, extraDb: [], secureBoot: true }, join(fresh, "vars.fd"));
  await createTpmState(tools, join(fresh, "tpm"));
  for (const name of PARTS) {
    await rm(join(dir, name), { recursive: true, force: true });
    await rename(join(fresh, name), join(dir, name));
  }
  await rm(fresh, { recursive: true });
}

async function copyDisk(tools: Tools, release: Release, dir: string): Promise<void> {
  const target = join(dir, "disk.qcow2");
  if (existsSync(release.file("disk.qcow2"))) {
    await copyFile(release.file("disk.qcow2"), target, constants.COPYFILE_FICLONE);
    return await chmod(target, 0o600);
  }
  const raw = join(dir, "disk.raw");
  await unpackDisk(tools, release.dir, raw);
  await tools.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, target], { timeoutMs: 300_000 });
  await tools.run(["qemu-img", "resize", "-q", "-f", "qcow2", target, "8G"]);
  await rm(raw);
}

/** QEMU on this process's own terminal. It dies with this process. */
function startQemu(toolRoot: string, dir: string, shape: MachineShape, accelerator: Accelerator): ChildProcess {
  const argv = qemuArguments(shape, accelerator, { dir, platform: platformOf(toolRoot), terminal: true });
  const binds = [{ src: dir, dst: dir, writable: true }];
  const devices = accelerator === "kvm" ? ["/dev/kvm"] : [];
  const [command, ...rest] = toolCommand({ root: toolRoot, argv, binds, env: {}, network: "host", devices });
  return spawn(command ?? "", rest, { stdio: "inherit" });
}

/** @throws VmError HARNESS_QEMU_FAILED */
function ended(qemu: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (actual: string) =>
      reject(new VmError("HARNESS_QEMU_FAILED", { expected: "QEMU to run until the power goes off", actual }));
    qemu.once("error", (error) => fail(error.message));
    qemu.once("close", (code, signal) => (code === 0 ? resolve() : fail(signal ?? `exit ${code}; it says why above`)));
  });
}

/** QEMU sets the terminal to raw mode and sets it back when it ends by itself, but not when it is killed. */
function restoreTerminal(): void {
  if (process.stdin.isTTY) spawnSync("stty", ["sane"], { stdio: "inherit" });
}
