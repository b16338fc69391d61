import { spawnSync } from "node:child_process";

/** Arguments of a program as `--name value` pairs; a repeated name keeps every value. @throws Error on anything else */
export function readFlags(argv: readonly string[]): (name: string) => string {
  const values = new Map<string, string>();
  for (let i = 0; i < argv.length; i += 2) {
    const name = argv[i];
    const value = argv[i + 1];
    if (name === undefined || !name.startsWith("--") || value === undefined)
      throw new Error(`expected --name value, got ${argv.slice(i).join(" ")}`);
    values.set(name.slice(2), value);
  }
  return (name) => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`--${name} is missing`);
    return value;
  };
}

/** "a,b" as its parts; none of an empty text. */
export const listOf = (text: string): string[] => text.split(",").filter((part) => part !== "");

/** Runs a tool of the tool root; its output goes to the step's log. @throws Error when it fails */
export function tool(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): void {
  const result = spawnSync(command, [...args], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (result.error !== undefined) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${command} ended with ${result.status ?? result.signal}`);
}

/** Like `tool`, and returns what it printed. @throws Error when it fails or prints more than 64 MiB */
export function toolOutput(command: string, args: readonly string[], options: { cwd?: string } = {}): string {
  const result = spawnSync(command, [...args], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
    maxBuffer: 64 << 20,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (result.error !== undefined) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${command} ended with ${result.status ?? result.signal}`);
  return result.stdout;
}

/** Seconds since 1970 that stand in for "now" everywhere in the image. */
export function sourceDateEpoch(): number {
  const value = Number(process.env.SOURCE_DATE_EPOCH);
  if (!Number.isSafeInteger(value) || value <= 0) throw new Error("SOURCE_DATE_EPOCH is not set");
  return value;
}
