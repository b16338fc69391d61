import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { VmError } from "./errors.ts";
import { isRunning } from "./processes.ts";
import type { Tools } from "./tools.ts";

const START_LIMIT_MS = 10_000;

/** Manufactures a TPM 2.0 with an SHA-256 PCR bank; its state, seeds included, lives in `dir`. @throws VmError HARNESS_TOOL_FAILED */
export async function createTpmState(tools: Tools, dir: string): Promise<void> {
  await mkdir(dir, { mode: 0o700 });
  await tools.run(["swtpm_setup", "--tpm2", "--tpmstate", dir, "--pcr-banks", "sha256", "--overwrite"]);
}

/** Starts the TPM that QEMU connects to at `socket`; it ends with QEMU. @throws VmError HARNESS_QEMU_FAILED */
export async function startTpm(tools: Tools, stateDir: string, socket: string, logPath: string): Promise<ChildProcess> {
  const child = tools.start(
    [
      ...["swtpm", "socket", "--tpm2", "--tpmstate", `dir=${stateDir}`, "--ctrl", `type=unixio,path=${socket}`],
      ...["--flags", "startup-clear", "--terminate"],
    ],
    logPath,
  );
  await waitForFile(socket, child, START_LIMIT_MS);
  return child;
}

/** @throws VmError HARNESS_QEMU_FAILED when `child` ends first or `path` does not appear in time */
export async function waitForFile(path: string, child: ChildProcess, limitMs: number): Promise<void> {
  const end = performance.now() + limitMs;
  while (!existsSync(path)) {
    if (!isRunning(child))
      throw new VmError("HARNESS_QEMU_FAILED", { expected: path, actual: `its process ended with ${child.exitCode}` });
    if (performance.now() > end)
      throw new VmError("HARNESS_QEMU_FAILED", { expected: path, actual: `not there after ${limitMs} ms` });
    await sleep(10);
  }
}
