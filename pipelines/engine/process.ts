import { execFile, spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { constants } from "node:os";
import { promisify } from "node:util";
import { EngineError } from "./errors.ts";
import { sandboxCommand } from "./sandbox.ts";

const run = promisify(execFile);

/** How much of the end of a log is shown when a step fails. */
export const TAIL_LINES = 30;
const TAIL_BYTES = 64 << 10;

/**
 * Runs a sandboxed command to its end, its output going to `logPath`. When `signal` fires, bubblewrap is killed and with it, by the
 * kernel, everything in its pid namespace. Returns only after the last process has gone: the pipe they all hold is closed then.
 * @returns the exit status, 128 + n after signal n
 * @throws EngineError BUILD_CANCELLED
 */
export async function runLogged(command: readonly string[], logPath: string, signal: AbortSignal): Promise<number> {
  const log = await open(logPath, "w", 0o644);
  try {
    const [program = "", ...args] = command;
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], env: { PATH: process.env.PATH ?? "" } });
    const kill = (): void => void child.kill("SIGKILL");
    const status = new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, name) => resolve(code ?? 128 + (name === null ? 0 : constants.signals[name])));
    });
    signal.addEventListener("abort", kill);
    if (signal.aborted) kill();
    try {
      for await (const chunk of child.stdout) await log.write(chunk as Buffer);
    } catch (error) {
      // A log that cannot be written (disk full) must not leave the step running.
      kill();
      throw error;
    }
    const code = await status;
    signal.removeEventListener("abort", kill);
    if (signal.aborted) throw new EngineError("BUILD_CANCELLED");
    return code;
  } finally {
    await log.close();
  }
}

/** The last lines of a log. */
export async function tailOf(logPath: string): Promise<string[]> {
  const log = await open(logPath, "r").catch(() => undefined);
  if (log === undefined) return [];
  try {
    const { size } = await log.stat();
    const length = Math.min(size, TAIL_BYTES);
    const { buffer } = await log.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString("utf8").replace(/\n$/, "").split("\n").slice(-TAIL_LINES);
  } finally {
    await log.close();
  }
}

/** Makes one trivial sandbox, so that a machine that cannot is told so, not told that a step failed. @throws EngineError SANDBOX_UNAVAILABLE */
export async function checkSandbox(): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new EngineError("USER_NAMESPACE_UNAVAILABLE", {
      expected: "uid 0, of the machine or of a user namespace",
      actual: `uid ${process.geteuid?.()}`,
    });
  }
  const root = { kind: "host" } as const;
  const probe = { root, argv: ["/usr/bin/true"], binds: [], env: {}, network: "none", privileges: "none" } as const;
  const [program = "", ...args] = sandboxCommand(probe);
  await run(program, args).catch((cause: Error & { stdout?: string; stderr?: string }) => {
    const said = `${cause.stdout ?? ""}${cause.stderr ?? ""}`.trim();
    throw new EngineError("SANDBOX_UNAVAILABLE", { expected: "a bubblewrap sandbox", actual: said || cause.message, cause });
  });
}
