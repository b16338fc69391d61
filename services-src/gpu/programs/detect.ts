// Writes what this machine computes with, and why: gpu.json for people and services, inference.env for units. It loads no driver; what they
// can do was found out by secure-ai-gpu-probe.service.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CodedError } from "@secai/formats/errors";
import { createLog, errorFields } from "@secai/kit/log";
import { detect } from "../detect.ts";
import { writeState } from "../state-files.ts";

const DETECT_VIRT = "/usr/bin/systemd-detect-virt";
const DETECT_VIRT_LIMIT_MS = 10_000;

const log = createLog("gpu-detect");

/** systemd-detect-virt(1) prints "none" and ends with 1 on bare metal; anything it cannot say is no answer. */
async function hypervisor(): Promise<string> {
  const run = promisify(execFile)(DETECT_VIRT, ["--vm"], { timeout: DETECT_VIRT_LIMIT_MS, env: {} });
  const { stdout } = await run.catch((error: Error & { readonly stdout?: string }) => ({ stdout: error.stdout ?? "" }));
  const name = stdout.trim();
  return /^[a-z0-9-]{1,32}$/.test(name) ? name : "unknown";
}

try {
  const state = await detect({ root: "/", now: () => new Date(), hypervisor });
  await writeState("/", state);
  const { backend, name, qualified, forced_reason } = state;
  log("info", "detected", { backend, name, qualified: qualified !== false, forced_reason });
  for (const { name: declared, state: found, reason } of state.backends)
    log("info", "backend", { name: declared, state: found, reason });
} catch (error) {
  log("error", "detection failed", errorFields(error));
  process.exit(error instanceof CodedError ? error.exit : 70);
}
