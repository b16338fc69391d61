import { spawnSync } from "node:child_process";

export interface CommandResult {
  readonly ok: boolean;
  /** What it said, both streams, cut off: for a log. */
  readonly said: string;
}

const MAX_OUTPUT_BYTES = 1 << 20;
const MAX_SAID_CHARS = 500;

/** Runs sealed programs one after the other, in exactly this environment and never through a shell. */
export function commandRunner(
  env: Readonly<Record<string, string>>,
): (argv: readonly string[], limitMs: number) => CommandResult {
  return ([command = "", ...args], limitMs) => {
    const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
      env,
      timeout: limitMs,
      killSignal: "SIGKILL",
      maxBuffer: MAX_OUTPUT_BYTES,
      encoding: "latin1",
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ending = error?.message ?? (status === null ? `ended by ${signal}` : `status ${status}`);
    const words = `${stdout ?? ""}${stderr ?? ""}`.trim().replaceAll(/[^ -~]+/g, " ");
    return { ok: status === 0, said: `${ending}${words === "" ? "" : `: ${words}`}`.slice(0, MAX_SAID_CHARS) };
  };
}
