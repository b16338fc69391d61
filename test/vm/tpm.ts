import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
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

/** A TPM whose maker certified its endorsement key, and that maker's certificates in PEM: the root first, then what is between. */
export interface CertifiedTpm {
  readonly stateDir: string;
  readonly root: string;
  readonly intermediate: string;
}

/** Makes a maker of TPMs in `dir`, and has it make one. @throws VmError HARNESS_TOOL_FAILED */
export async function createCertifiedTpm(tools: Tools, dir: string): Promise<CertifiedTpm> {
  const at = (name: string) => join(dir, name);
  await mkdir(at("state"), { recursive: true, mode: 0o700 });
  const maker = { statedir: dir, signingkey: at("maker.key"), issuercert: at("maker.crt"), certserial: at("serial") };
  const setup = {
    create_certs_tool: "/usr/bin/swtpm_localca",
    create_certs_tool_config: at("maker.conf"),
    create_certs_tool_options: at("maker.options"),
    active_pcr_banks: "sha256",
  };
  const lines = (settings: Readonly<Record<string, string>>) =>
    Object.entries(settings)
      .map(([name, value]) => `${name} = ${value}\n`)
      .join("");
  await writeFile(at("maker.conf"), lines(maker));
  await writeFile(at("maker.options"), "--platform-manufacturer SecAI\n--platform-version 1\n--platform-model test\n");
  await writeFile(at("setup.conf"), lines(setup));
  await tools.run([
    ...["swtpm_setup", "--tpm2", "--tpmstate", at("state"), "--pcr-banks", "sha256", "--overwrite"],
    ...["--create-ek-cert", "--config", at("setup.conf")],
  ]);
  const read = (name: string) => readFile(at(name), "utf8");
  return { stateDir: at("state"), root: await read("swtpm-localca-rootca-cert.pem"), intermediate: await read("maker.crt") };
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
