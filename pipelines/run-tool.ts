import { spawn } from "node:child_process";

export interface ToolResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** apt's longest answer here has 200 KiB. */
const MAX_OUTPUT_BYTES = 16 << 20;

/**
 * Runs a program of the host to its end, with nothing on its standard input and only the environment it is given.
 * @param signal kills it
 * @throws Error ENOENT when there is no such program, AbortError when `signal` fired
 */
export function runTool(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  signal?: AbortSignal,
): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const path = process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin";
    const child = spawn(command, args, {
      env: { PATH: path, LC_ALL: "C.UTF-8", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      ...(signal === undefined ? {} : { signal, killSignal: "SIGKILL" as const }),
    });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8");
      child[name].on("data", (text: string) => {
        if (output[name].length < MAX_OUTPUT_BYTES) output[name] += text;
        else child.kill("SIGKILL");
      });
    }
    child.on("error", reject);
    child.on("close", (status) => resolve({ status: status ?? 128, ...output }));
  });
}
