import { execFile } from "node:child_process";
import { MonitorError } from "./errors.ts";

const MAX_OUTPUT_BYTES = 8 << 20;
/** All that a program of the sealed root gets of an environment. */
export const COMMAND_ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };

/** Standard output of a program that must end with 0 in time. @throws MonitorError MONITOR_COMMAND */
export function outputOf([command = "", ...args]: readonly string[], limitMs: number): Promise<string> {
  const options = {
    env: COMMAND_ENVIRONMENT,
    timeout: limitMs,
    killSignal: "SIGKILL",
    maxBuffer: MAX_OUTPUT_BYTES,
    encoding: "utf8",
  } as const;
  return new Promise((resolve, reject) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const said = stderr.trim().split("\n").at(-1) ?? "";
      reject(
        new MonitorError("MONITOR_COMMAND", {
          expected: `${command} to end with 0`,
          actual: `${error.code ?? error.signal}: ${said}`,
          cause: error,
        }),
      );
    });
  });
}
