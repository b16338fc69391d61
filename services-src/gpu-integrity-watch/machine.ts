import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type FoundDevice, isGpuMaker, readPciDevices } from "@secai/kit/pci-devices";
import { GpuWatchError } from "./errors.ts";

const TOOL_LIMIT_MS = 10_000;
const TOOL_OUTPUT_BYTES = 64 * 1024;
const MAX_FACT_BYTES = 4096;

/** The machine as the kernel shows it; a test puts another folder in the place of "/". */
export interface Machine {
  readonly root: string;
  /** The driver's own tool for NVIDIA's cards. */
  readonly nvidiaSmi: string;
}

/** Devices that compute: a virtual machine's display adapter is none. */
export const gpuDevices = ({ root }: Machine): readonly FoundDevice[] =>
  readPciDevices(root).filter(({ vendor }) => isGpuMaker(vendor));

/** A short file of the kernel's, trimmed; undefined where there is none or it cannot be read. */
export async function fact({ root }: Machine, path: string): Promise<string | undefined> {
  return readFile(join(root, path), "latin1").then(
    (text) => text.slice(0, MAX_FACT_BYTES).trim(),
    () => undefined,
  );
}

/** The root hash that the kernel's command line names; null: the root is not a sealed one. What it is worth is the attestor's to say. */
export async function sealedRoot(machine: Machine): Promise<string | null> {
  return /(?:^|\s)roothash=([0-9a-f]{64})(?:\s|$)/.exec((await fact(machine, "proc/cmdline")) ?? "")?.[1] ?? null;
}

/**
 * What a tool writes to its standard output. No shell, no environment of ours, an end to its time, its output and, with `signal`, its life.
 * @throws GpuWatchError GPU_TOOL_FAILED
 */
export function runTool(program: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  const options = {
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
    timeout: TOOL_LIMIT_MS,
    killSignal: "SIGKILL",
    maxBuffer: TOOL_OUTPUT_BYTES,
    signal,
    encoding: "latin1",
  } as const;
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (cause, stdout) => {
      if (cause === null) return resolve(stdout);
      reject(
        new GpuWatchError("GPU_TOOL_FAILED", { expected: `${program} to answer`, actual: cause.message.slice(0, 256), cause }),
      );
    });
  });
}
