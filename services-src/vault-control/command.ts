import { spawn } from "node:child_process";
import { VaultError } from "./errors.ts";
import type { Settings } from "./settings.ts";

const MAX_SAID_CHARS = 500;

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly limitMs: number;
  /** Written to its standard input, which then ends. Never in its arguments: those are everybody's to read. */
  readonly input?: Uint8Array;
}

export interface Ended {
  /** undefined: it was killed when its time was over, or did not start. */
  readonly status: number | undefined;
  /** What it said, cut off, printable. */
  readonly said: string;
}

/** Runs a program of the system: no shell, no environment of ours, its time limited. Never rejects. */
export function run({ programPath }: Pick<Settings, "programPath">, { program, args, limitMs, input }: Command): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      env: { PATH: programPath, LC_ALL: "C" },
      timeout: limitMs,
      killSignal: "SIGKILL",
      stdio: ["pipe", "pipe", "pipe"],
    });
    let said = "";
    const hear = (chunk: Buffer) => {
      if (said.length < MAX_SAID_CHARS) said += chunk.toString("latin1").replaceAll(/[^ -~]+/g, " ");
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.stdin.on("error", () => undefined);
    child.once("error", (error) => resolve({ status: undefined, said: error.message }));
    child.once("close", (status, signal) => {
      const how = status === null ? `ended by ${signal} ` : "";
      resolve({ status: status ?? undefined, said: `${how}${said}`.slice(0, MAX_SAID_CHARS).trim() });
    });
    child.stdin.end(input);
  });
}

/** @throws VaultError VAULT_COMMAND unless it ends with status 0 */
export async function must(settings: Pick<Settings, "programPath">, command: Command): Promise<void> {
  const { status, said } = await run(settings, command);
  if (status === 0) return;
  throw new VaultError("VAULT_COMMAND", {
    expected: `${command.program} ${command.args[0] ?? ""} to succeed`,
    actual: `${status ?? "no status"}: ${said}`,
  });
}
