import { accessSync, constants, lstatSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { DaggerError } from "./errors.ts";
import { CONTAINER_RUNTIMES, parseRunnerHost, type RunnerNeed } from "./runner-host.ts";

/** Where the engine's GraphQL server is, or the program that opens it. */
export type Endpoint =
  | { readonly kind: "session"; readonly port: number; readonly token: string }
  | { readonly kind: "cli"; readonly program: string };

type Environment = Readonly<Record<string, string | undefined>>;

/** Variables by which someone points at an engine: with one of them set, `--engine auto` means Dagger. */
const POINTERS = ["DAGGER_SESSION_PORT", "_EXPERIMENTAL_DAGGER_RUNNER_HOST", "_EXPERIMENTAL_DAGGER_CLI_BIN"] as const;

export const isPointedAtDagger = (env: Environment): boolean => POINTERS.some((name) => (env[name] ?? "") !== "");

/**
 * Finds the engine in the order of Dagger's own SDK: a running session, the CLI that a variable names, then `dagger` in PATH. Unlike
 * the SDK it never downloads a CLI: that download is not signed. Looks at this machine only, in well under a millisecond.
 * @throws DaggerError DAGGER_SESSION_INVALID, DAGGER_NOT_FOUND, DAGGER_RUNNER_INVALID, DAGGER_RUNNER_UNREACHABLE
 */
export function findEngine(env: Environment): Endpoint {
  if ((env.DAGGER_SESSION_PORT ?? "") !== "") return parseSession(env);
  const program = findCli(env);
  requireNeed(runnerNeed(env), env);
  return { kind: "cli", program };
}

function parseSession(env: Environment): Endpoint {
  const text = env.DAGGER_SESSION_PORT ?? "";
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535))
    throw new DaggerError("DAGGER_SESSION_INVALID", { expected: "a port in DAGGER_SESSION_PORT", actual: "something else" });
  const token = env.DAGGER_SESSION_TOKEN ?? "";
  if (!/^[\x21-\x7e]+$/.test(token)) {
    const actual = token === "" ? "none" : "one with blanks or control characters";
    throw new DaggerError("DAGGER_SESSION_INVALID", { expected: "a token in DAGGER_SESSION_TOKEN", actual });
  }
  return { kind: "session", port, token };
}

function findCli(env: Environment): string {
  const named = env._EXPERIMENTAL_DAGGER_CLI_BIN ?? "";
  if (named === "") {
    const found = findProgram("dagger", env);
    if (found === undefined) throw new DaggerError("DAGGER_NOT_FOUND");
    return found;
  }
  const found = isAbsolute(named) || named.includes("/") ? named : findProgram(named, env);
  if (found === undefined || !isProgram(found))
    throw new DaggerError("DAGGER_NOT_FOUND", { expected: "a program at _EXPERIMENTAL_DAGGER_CLI_BIN", actual: "none" });
  return found;
}

function runnerNeed(env: Environment): RunnerNeed {
  const host = env._EXPERIMENTAL_DAGGER_RUNNER_HOST ?? "";
  // Without an address the CLI starts its engine as a container here.
  return host === "" ? { kind: "program", anyOf: CONTAINER_RUNTIMES } : parseRunnerHost(host);
}

function requireNeed(need: RunnerNeed, env: Environment): void {
  if (need.kind === "socket" && lstatSync(need.path, { throwIfNoEntry: false })?.isSocket() !== true)
    throw new DaggerError("DAGGER_RUNNER_UNREACHABLE", { expected: `a socket at ${need.path}`, actual: "none" });
  if (need.kind === "program" && !need.anyOf.some((name) => findProgram(name, env) !== undefined))
    throw new DaggerError("DAGGER_RUNNER_UNREACHABLE", { expected: `${need.anyOf.join(" or ")} in PATH`, actual: "none" });
}

function findProgram(name: string, env: Environment): string | undefined {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => isAbsolute(folder));
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return !lstatSync(path).isDirectory();
  } catch {
    return false;
  }
}
