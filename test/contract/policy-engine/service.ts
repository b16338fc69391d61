import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type OutgoingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type AuditReport, verifyAudit } from "@secai/kit/audit-verify";
import { type Runtime, workingDirectory } from "./runtime.ts";
import { top } from "./unit.ts";

/** The files of one appliance, as far as the policy engine sees them. */
export interface Home {
  readonly path: string;
  readonly token: string;
  readonly policyPath: string;
  readonly agentPath: string;
  readonly tokenPath: string;
  readonly logPath: string;
  readonly anchorPath: string;
  auditRecords(): Promise<AuditLine[]>;
  verify(): Promise<AuditReport>;
  remove(): Promise<void>;
}

export interface AuditLine {
  readonly seq: number;
  readonly type: string;
  readonly data: { readonly request_id?: string; readonly decision?: string; readonly [key: string]: unknown };
}

const secret = (): string => randomBytes(32).toString("hex");

export async function createHome(): Promise<Home> {
  const path = await mkdtemp(join(tmpdir(), "secai-policy-engine-"));
  const [token, key] = [secret(), secret()];
  for (const folder of ["credentials", "state"]) await mkdir(join(path, folder), { mode: 0o700 });
  await cp(join(top, "image/common/etc/secure-ai/policy"), join(path, "policy"), { recursive: true });
  await writeFile(join(path, "credentials/policy-engine.token"), `${token}\n`, { mode: 0o600 });
  await writeFile(join(path, "credentials/policy-engine-audit-hmac.key"), `${key}\n`, { mode: 0o600 });
  const logPath = join(path, "state/secure-ai/policy-engine/policy-engine-audit.jsonl");
  const anchorPath = join(path, "state/secure-ai/policy-engine-anchor/policy-engine-audit.head");
  return {
    path,
    token,
    policyPath: join(path, "policy/policy.yaml"),
    agentPath: join(path, "policy/agent.yaml"),
    tokenPath: join(path, "credentials/policy-engine.token"),
    logPath,
    anchorPath,
    auditRecords: async () =>
      (await readFile(logPath, "utf8"))
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as AuditLine),
    verify: () => verifyAudit(logPath, Buffer.from(key, "hex"), anchorPath),
    remove: () => rm(path, { recursive: true }),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Undefined where the answer is not JSON. */
  readonly json: Record<string, unknown> | undefined;
}

export interface Call {
  readonly method?: string;
  readonly path: string;
  readonly body?: string;
  /** Merged over the right token and media type; undefined removes one. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

export interface Service {
  readonly port: number;
  call(call: Call): Promise<Answer>;
  decide(request: unknown): Promise<Answer>;
  /** Sends a signal and waits for the end: the exit status, or the signal's name. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

export interface Options {
  readonly env?: Readonly<Record<string, string>>;
  /** Words before the command, e.g. a shell that sets a limit. */
  readonly prefix?: readonly string[];
}

interface LogLine {
  readonly message?: string;
  readonly port?: number;
  readonly code?: string;
  readonly error?: string;
}

function launch(runtime: Runtime, home: Home, { env = {}, prefix = [] }: Options): ChildProcess {
  const launched = runtime.launch(home.path);
  const [program = "", ...args] = [...prefix, ...launched.argv];
  return spawn(program, args, {
    cwd: workingDirectory,
    env: { PATH: process.env.PATH, ...launched.env, ...env },
    stdio: ["ignore", "inherit", "pipe"],
  });
}

async function* logLines(child: ChildProcess): AsyncGenerator<LogLine> {
  if (child.stderr === null) return;
  for await (const line of createInterface(child.stderr))
    yield line.startsWith("{") ? (JSON.parse(line) as LogLine) : { message: line };
}

/** Starts the service and waits until it listens. @throws Error with its log if it does not */
export async function startService(runtime: Runtime, home: Home, options: Options = {}): Promise<Service> {
  const child = launch(runtime, home, options);
  const seen: LogLine[] = [];
  const lines = logLines(child);
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
    seen.push(line.value);
    if (line.value.message === "service ready") break;
  }
  const port = seen.find(({ message }) => message === "listening")?.port;
  if (port === undefined) throw new Error(`the service did not start: ${JSON.stringify(seen)}`);
  child.stderr?.resume();
  return connect(child, port, home);
}

/** Starts the service, expecting that it refuses. */
export async function refusedStart(
  runtime: Runtime,
  home: Home,
  options: Options = {},
): Promise<{ status: number | null; code: string | undefined; error: string; listened: boolean }> {
  const child = launch(runtime, home, options);
  const ended = once(child, "exit");
  const seen: LogLine[] = [];
  for await (const line of logLines(child)) {
    seen.push(line);
    if (line.message === "service ready") child.kill("SIGKILL");
  }
  const [status] = (await ended) as [number | null];
  const failure = seen.find(({ code }) => code !== undefined);
  return {
    status,
    code: failure?.code,
    error: failure?.error ?? JSON.stringify(seen),
    listened: seen.some(({ message }) => message === "listening"),
  };
}

function connect(child: ChildProcess, port: number, home: Home): Service {
  const call = ({ method = "GET", path, body, headers = {} }: Call): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const json = body === undefined ? {} : { "content-type": "application/json" };
      const sent = Object.entries({ authorization: `Bearer ${home.token}`, ...json, ...headers }).filter(
        ([, value]) => value !== undefined,
      );
      const options = {
        host: "127.0.0.1",
        port,
        method,
        path,
        headers: Object.fromEntries(sent) as OutgoingHttpHeaders,
        agent: false,
      };
      const outgoing = request(options, (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("end", () => resolve(toAnswer(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(chunks).toString())));
        incoming.on("error", reject);
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  return {
    port,
    call,
    decide: (asked) => call({ method: "POST", path: "/api/v1/decide", body: JSON.stringify(asked) }),
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
      const ended = once(child, "exit");
      process.kill(await innermost(child.pid ?? 0), signal);
      const [status, killed] = (await ended) as [number | null, NodeJS.Signals | null];
      return status ?? killed;
    },
  };
}

/** The process that a sandbox runs: it passes no signals on. */
async function innermost(pid: number): Promise<number> {
  const [inner] = (await readFile(`/proc/${pid}/task/${pid}/children`, "latin1")).split(" ").filter((word) => word !== "");
  return inner === undefined ? pid : innermost(Number(inner));
}

function toAnswer(status: number, headers: Answer["headers"], text: string): Answer {
  const isJson = headers["content-type"] === "application/json";
  return { status, headers, text, json: isJson ? (JSON.parse(text) as Record<string, unknown>) : undefined };
}
