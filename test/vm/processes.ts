import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";

const live = new Set<ChildProcess>();

/** Starts a long-running process whose output goes to `logPath`. It never outlives this one: see `killAll` and bwrap's die-with-parent. */
export function startProcess(argv: readonly string[], logPath: string): ChildProcess {
  const [command, ...rest] = argv;
  const log = openSync(logPath, "a", 0o600);
  try {
    const child = spawn(command ?? "", rest, { stdio: ["ignore", log, log] });
    live.add(child);
    child.once("exit", () => live.delete(child));
    child.once("error", () => live.delete(child));
    return child;
  } finally {
    closeSync(log);
  }
}

export function isRunning(child: ChildProcess | undefined): boolean {
  return child !== undefined && child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** Ends a process at once and waits until it is gone. */
export async function killProcess(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || !isRunning(child)) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  await gone;
}

export function killAll(): void {
  for (const child of live) child.kill("SIGKILL");
}

/** On SIGINT, SIGTERM and SIGHUP: end every machine, run `cleanup`, then exit with the conventional 128 + signal number. */
export function onTermination(cleanup: () => void): () => void {
  const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
  const handler = (signal: NodeJS.Signals): void => {
    killAll();
    cleanup();
    process.exit(128 + (numbers[signal as keyof typeof numbers] ?? 0));
  };
  const signals = Object.keys(numbers) as (keyof typeof numbers)[];
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}
