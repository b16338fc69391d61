import { spawnSync } from "node:child_process";
import { RuntimeError } from "./runtime-errors.ts";

const MAX_OUTPUT_BYTES = 8 * 1024 * 1024;
const SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

export interface SystemCommand {
  readonly argv: readonly [string, ...string[]];
  /** Milliseconds. */
  readonly limitMs: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Standard output of a program of the machine, which must end with 0. Nothing of the caller's environment reaches it.
 * @throws RuntimeError STATE_COMMAND_FAILED
 */
export function outputOf({ argv: [command, ...args], limitMs, cwd, env }: SystemCommand): string {
  const result = spawnSync(command, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { PATH: SYSTEM_PATH, LC_ALL: "C", SYSTEMD_COLORS: "0", SYSTEMD_PAGER: "", ...env },
    timeout: limitMs,
    killSignal: "SIGKILL",
    maxBuffer: MAX_OUTPUT_BYTES,
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
  });
  if (result.error === undefined && result.status === 0) return result.stdout;
  const reason = result.error?.message ?? result.stderr.trim().split("\n").at(-1) ?? "";
  throw new RuntimeError("STATE_COMMAND_FAILED", {
    expected: `${command} to end with 0`,
    actual: `${result.status ?? result.signal}: ${reason}`,
  });
}
