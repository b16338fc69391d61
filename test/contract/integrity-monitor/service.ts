import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { type AuditReport, verifyAudit } from "@secai/kit/audit-verify";
import { createSigner } from "@secai/kit/signing";
import type { Tree } from "./tree.ts";

const top = join(import.meta.dirname, "../../..");
/** Longest wait for anything, in ms: far beyond what is promised, because the machine is shared. */
const CAP_MS = 60_000;

const secret = (): string => randomBytes(32).toString("hex");

/** Where a monitor keeps its own things, and its credentials. */
export interface Home {
  readonly path: string;
  readonly baselinePath: string;
  readonly latchPath: string;
  readonly logPath: string;
  readonly seedPath: string;
  readonly tokens: { readonly monitor: string; readonly rebaseline: string };
  readonly env: Readonly<Record<string, string>>;
  auditTypes(): readonly string[];
  auditRecords(): readonly { readonly type: string; readonly data: Readonly<Record<string, unknown>> }[];
  verifyAudit(): Promise<AuditReport>;
  remove(): Promise<void>;
}

export function createHome(tree: Tree, recorder = "127.0.0.1:1"): Home {
  const path = mkdtempSync(join(realpathSync(tmpdir()), "secai-integrity-home-"));
  const at = (name: string): string => join(path, name);
  for (const folder of ["credentials", "integrity", "latch", "logs", "anchor", "outbox"]) mkdirSync(at(folder), { mode: 0o700 });
  const credential = (name: string, value = secret()): string => {
    writeFileSync(at(`credentials/${name}`), `${value}\n`, { mode: 0o600 });
    return value;
  };
  const tokens = { monitor: credential("monitor.token"), rebaseline: credential("rebaseline.token") };
  credential("reporter.token");
  const key = credential("audit.key");
  writeFileSync(at("credentials/signing.pub"), createSigner(credential("signing.key")).publicKey());
  const logPath = at("logs/audit.jsonl");
  const records = () =>
    readFileSync(logPath, "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { type: string; data: Record<string, unknown> });
  return {
    path,
    baselinePath: at("integrity/baseline.json"),
    latchPath: at("latch/latch.json"),
    logPath,
    seedPath: at("credentials/signing.key"),
    tokens,
    env: {
      BIND_ADDR: "127.0.0.1:0",
      INCIDENT_RECORDER_ADDR: recorder,
      MONITOR_POLICY_PATH: tree.at("/etc/secure-ai/policy/integrity-monitor.yaml"),
      ROOT_PREFIX: tree.path,
      BASELINE_PATH: at("integrity/baseline.json"),
      LATCH_PATH: at("latch/latch.json"),
      OUTBOX_DIR: at("outbox"),
      SERVICE_TOKEN_PATH: at("credentials/monitor.token"),
      REBASELINE_TOKEN_PATH: at("credentials/rebaseline.token"),
      INCIDENT_RECORDER_TOKEN_PATH: at("credentials/reporter.token"),
      SIGNING_KEY_PATH: at("credentials/signing.key"),
      SIGNING_PUBLIC_KEY_PATH: at("credentials/signing.pub"),
      AUDIT_HMAC_KEY_PATH: at("credentials/audit.key"),
      AUDIT_LOG_PATH: logPath,
      AUDIT_ANCHOR_PATH: at("anchor/audit.head"),
    },
    auditRecords: records,
    auditTypes: () => records().map(({ type }) => type),
    verifyAudit: () => verifyAudit(logPath, Buffer.from(key, "hex"), at("anchor/audit.head")),
    remove: () => rm(path, { recursive: true, force: true }),
  };
}

export interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export interface Status {
  readonly state: string;
  readonly standing_state: string;
  readonly scanned: boolean;
  readonly scan_count: number;
  readonly violation_count: number;
  readonly pending_hashes: number;
  readonly watched_files: number;
  readonly active_violations: readonly { readonly category: string; readonly path: string; readonly kind: string }[];
  readonly latch_reasons: readonly { readonly category: string; readonly path: string; readonly kind: string }[];
  readonly baseline: { readonly generation: number; readonly root_hash: string } | null;
  readonly reports_waiting: number;
}

export type Scope = "monitor" | "rebaseline" | "none";

export interface Service {
  readonly pid: number;
  readonly port: number;
  call(method: string, path: string, body?: unknown, scope?: Scope): Promise<Answer>;
  status(): Promise<Status>;
  /** Waits until the status is so. @throws Error with the last one seen */
  until(what: string, holds: (status: Status) => boolean): Promise<Status>;
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
  /** Resident memory now, in MiB, and the most there ever was. */
  memory(): { readonly now: number; readonly peak: number };
}

interface LogLine {
  readonly message?: string;
  readonly port?: number;
  readonly code?: string;
}

export interface Options {
  readonly env?: Readonly<Record<string, string>>;
  /** Instead of the source on the Node that runs the tests. */
  readonly command?: readonly string[];
}

const SOURCE = [process.execPath, "services-src/integrity-monitor/main.ts"];

function launch(home: Home, { env = {}, command = SOURCE }: Options): ChildProcess {
  const [program = "", ...args] = command;
  return spawn(program, args, {
    cwd: top,
    env: { PATH: process.env.PATH, ...home.env, ...env },
    stdio: ["ignore", "inherit", "pipe"],
  });
}

async function* logLines(child: ChildProcess): AsyncGenerator<LogLine> {
  if (child.stderr === null) return;
  for await (const line of createInterface(child.stderr))
    yield line.startsWith("{") ? (JSON.parse(line) as LogLine) : { message: line };
}

/** @throws Error with its log if it does not start */
export async function startService(home: Home, options: Options = {}): Promise<Service> {
  const child = launch(home, options);
  const seen: LogLine[] = [];
  const lines = logLines(child);
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
    seen.push(line.value);
    if (line.value.message === "service ready") break;
  }
  const port = seen.find(({ message }) => message === "listening")?.port;
  if (port === undefined) throw new Error(`the service did not start: ${JSON.stringify(seen)}`);
  if (process.env.MONITOR_LOG === undefined) child.stderr?.resume();
  else child.stderr?.pipe(process.stderr);
  return connect(child, port, home);
}

/** Starts the service, expecting that it refuses: its exit status and the error's code. */
export async function refusedStart(
  home: Home,
  options: Options = {},
): Promise<{ status: number | null; code: string | undefined }> {
  const child = launch(home, options);
  const ended = once(child, "exit");
  const seen: LogLine[] = [];
  for await (const line of logLines(child)) {
    seen.push(line);
    if (line.message === "service ready") child.kill("SIGKILL");
  }
  const [status] = (await ended) as [number | null];
  return { status, code: seen.find(({ code }) => code !== undefined)?.code ?? JSON.stringify(seen) };
}

function connect(child: ChildProcess, port: number, home: Home): Service {
  const pid = child.pid ?? 0;
  const service: Service = {
    pid,
    port,
    call: (method, path, body, scope = "rebaseline") =>
      send(port, method, path, body, scope === "none" ? undefined : home.tokens[scope]),
    async status() {
      const { status, json, text } = await service.call("GET", "/api/v1/status");
      if (status !== 200) throw new Error(text);
      return json as unknown as Status;
    },
    async until(what, holds) {
      const limit = performance.now() + CAP_MS;
      for (;;) {
        const status = await service.status();
        if (holds(status)) return status;
        if (performance.now() > limit) throw new Error(`never ${what}: ${JSON.stringify(status)}`);
        await sleep(100);
      }
    },
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
      const ended = once(child, "exit");
      child.kill(signal);
      const [status, killed] = (await ended) as [number | null, NodeJS.Signals | null];
      return status ?? killed;
    },
    memory() {
      const text = readFileSync(`/proc/${pid}/status`, "latin1");
      const mib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) / 1024;
      return { now: mib("VmRSS"), peak: mib("VmHWM") };
    },
  };
  return service;
}

function send(port: number, method: string, path: string, body: unknown, token: string | undefined): Promise<Answer> {
  const bytes = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(bytes === undefined ? {} : { "content-type": "application/json" }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        const isJson = incoming.headers["content-type"] === "application/json";
        resolve({ status: incoming.statusCode ?? 0, text, json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {} });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(bytes);
  });
}
