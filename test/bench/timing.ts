import { spawnSync } from "node:child_process";
import { VmError } from "../vm/errors.ts";

export interface TimedCommand {
  readonly argv: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Seconds of one run, output thrown away. @throws VmError HARNESS_TOOL_FAILED */
export function timeCommand({ argv, cwd, env }: TimedCommand): number {
  const [command = "", ...args] = argv;
  const started = performance.now();
  const child = spawnSync(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    encoding: "utf8",
    maxBuffer: 64 << 20,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  });
  const seconds = (performance.now() - started) / 1000;
  if (child.status === 0) return seconds;
  const actual = child.error?.message ?? `exit ${child.status}: ${child.stderr.trim().slice(-500)}`;
  throw new VmError("HARNESS_TOOL_FAILED", { expected: `${command} to succeed`, actual });
}

/** The best of several runs of each, taken in turns so that a busy moment of the machine meets them alike. The first round only warms up. */
export function bestInTurns<Name extends string>(
  commands: Readonly<Record<Name, TimedCommand>>,
  rounds = 3,
): Readonly<Record<Name, number>> {
  const best = {} as Record<Name, number>;
  for (let round = 0; round <= rounds; round++) {
    for (const [name, command] of Object.entries(commands) as [Name, TimedCommand][]) {
      const seconds = timeCommand(command);
      if (round > 0) best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, seconds);
    }
  }
  return best;
}
