import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { runTool } from "../../run-tool.ts";
import { within } from "./deadline.ts";
import type { Endpoint } from "./discover.ts";
import { DaggerError } from "./errors.ts";

/** An open GraphQL session on the loopback interface. */
export interface Session {
  readonly port: number;
  readonly token: string;
  /** Ends what this process started; a session that was there before stays. Never throws. */
  close(): Promise<void>;
}

export interface SessionLimits {
  /** For `dagger version`, in ms. */
  readonly checkMs: number;
  /** For the CLI to reach or start its engine, in ms; it may have to load the engine's image first. */
  readonly connectMs: number;
  /** For the CLI to end after it was asked to, in ms; then it is killed. */
  readonly closeMs: number;
}

export const DEFAULT_SESSION_LIMITS: SessionLimits = { checkMs: 15_000, connectMs: 300_000, closeMs: 10_000 };

const MAX_HELLO_BYTES = 4096;
const STDERR_TAIL_BYTES = 2000;

/**
 * @param env what the CLI gets
 * @throws DaggerError DAGGER_CLI_FAILED, DAGGER_DEADLINE
 */
export async function openSession(
  endpoint: Endpoint,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  limits: SessionLimits = DEFAULT_SESSION_LIMITS,
): Promise<Session> {
  if (endpoint.kind === "session") return { port: endpoint.port, token: endpoint.token, close: async () => {} };
  await checkCli(endpoint.program, env, signal, limits.checkMs);
  return await startCli(endpoint.program, env, signal, limits);
}

/** The SDK starts a CLI that cannot run in a way that ends our process; so it is tried first, by ourselves. */
async function checkCli(program: string, env: NodeJS.ProcessEnv, signal: AbortSignal, limitMs: number): Promise<void> {
  const tried = runTool(program, ["version"], env).catch((error: Error) => ({ status: -1, stdout: "", stderr: error.message }));
  const { status, stdout, stderr } = await within(tried, { limitMs, signal, what: "`dagger version`" });
  if (status !== 0 || !/^dagger v?\d+\.\d+\.\d+/.test(stdout)) {
    const said = oneLine(stderr === "" ? stdout : stderr);
    throw new DaggerError("DAGGER_CLI_FAILED", {
      expected: "a version from `dagger version`",
      actual: `status ${status}, ${said}`,
    });
  }
}

/**
 * `dagger session`: its first line tells port and token, it lives as long as its standard input is open. Its own process group, so
 * that a Ctrl-C at the terminal does not end it before our steps are stopped; if we die, the closed pipe ends it.
 */
async function startCli(program: string, env: NodeJS.ProcessEnv, signal: AbortSignal, limits: SessionLimits): Promise<Session> {
  const child = spawn(program, ["session", "--label", "dagger.io/client.name:secai"], {
    env,
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  const close = (): Promise<void> => endCli(child, limits.closeMs);
  try {
    const hello = await within(firstLine(child), { limitMs: limits.connectMs, signal, what: "`dagger session`" });
    child.stdout?.resume();
    return { ...parseHello(hello), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let out = "";
    let tail = "";
    const failed = (actual: string): void =>
      reject(new DaggerError("DAGGER_CLI_FAILED", { expected: "port and token from `dagger session`", actual }));
    child.stdin?.on("error", () => {});
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      tail = (tail + text).slice(-STDERR_TAIL_BYTES);
    });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      out = (out + text).slice(0, MAX_HELLO_BYTES + 1);
      const end = out.indexOf("\n");
      if (end >= 0) resolve(out.slice(0, end));
      else if (out.length > MAX_HELLO_BYTES) failed("a longer line");
    });
    child.on("error", (error) => failed(oneLine(error.message)));
    child.once("close", (code) => failed(`its end with status ${code}, ${oneLine(tail)}`));
  });
}

/** The line holds the token, so it is never part of an error. @throws DaggerError DAGGER_CLI_FAILED */
export function parseHello(line: string): { port: number; token: string } {
  try {
    const { port, session_token: token } = JSON.parse(line) as Record<string, unknown>;
    if (Number.isInteger(port) && Number(port) > 0 && Number(port) <= 65_535 && typeof token === "string" && token !== "")
      return { port: Number(port), token };
  } catch {}
  throw new DaggerError("DAGGER_CLI_FAILED", { expected: "port and token from `dagger session`", actual: "another line" });
}

async function endCli(child: ChildProcess, limitMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, "exit");
  child.stdin?.end();
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), limitMs);
  await gone;
  clearTimeout(late);
}

/** What a program said, short enough for an error: the last line, without control characters. */
function oneLine(text: string): string {
  const line = text.trim().split("\n").at(-1) ?? "";
  return line.replaceAll(/\p{Cc}/gu, " ").slice(0, 300) || "nothing said";
}
