import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Incident, IncidentReport, Reporter } from "@secai/kit/api/incidents";
import { type AuditReport, verifyAudit } from "@secai/kit/audit-verify";
import { containmentTokens, tokens } from "@secai/kit/credential-names";
import { createSigner } from "@secai/kit/signing";
import { startTarget, type Target } from "../targets/target.ts";
import { startVaultBroker, type VaultBroker } from "../targets/vault-broker.ts";
import { type FakeAttestor, startAttestor } from "./attestor.ts";

export const top = join(import.meta.dirname, "../../..");
const scopes = tokens["incident-recorder"];
export type RecorderScope = keyof typeof scopes;
export const allScopes = Object.keys(scopes) as readonly RecorderScope[];
const secret = (): string => randomBytes(32).toString("hex");

export interface AuditLine {
  readonly seq: number;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** One appliance as the recorder sees it: its files, and everything it talks to. */
export interface Home {
  readonly path: string;
  readonly env: Record<string, string>;
  readonly storePath: string;
  readonly storeAnchor: string;
  readonly auditPath: string;
  readonly auditAnchor: string;
  readonly policyPath: string;
  readonly attestor: FakeAttestor;
  readonly vault: VaultBroker;
  readonly publicKey: string;
  /** Absent until started; a test without targets leaves them out. */
  readonly targets: { agent?: Target; airlock?: Target; registry?: Target };
  token(scope: RecorderScope): string;
  startTargets(): Promise<void>;
  auditRecords(): Promise<readonly AuditLine[]>;
  verifyAudit(): Promise<AuditReport>;
  remove(): Promise<void>;
}

export async function createHome(): Promise<Home> {
  const path = await mkdtemp(join(tmpdir(), "secai-recorder-"));
  for (const folder of ["credentials", "state", "anchor", "policy"]) await mkdir(join(path, folder), { mode: 0o700 });
  const credential = async (name: string): Promise<string> => {
    const value = secret();
    await writeFile(join(path, "credentials", name), `${value}\n`, { mode: 0o600 });
    return value;
  };
  const byScope = new Map<string, string>();
  const env: Record<string, string> = { BIND_ADDR: "127.0.0.1:0" };
  for (const [scope, name] of Object.entries(scopes)) {
    byScope.set(scope, await credential(name));
    const variable = scope
      .replace(/^reporter\./, "REPORTER_")
      .toUpperCase()
      .replaceAll("-", "_");
    env[`INCIDENT_${variable}_TOKEN_PATH`] = join(path, "credentials", name);
  }
  const held: Record<string, string> = {};
  for (const [name, file] of Object.entries(containmentTokens)) {
    held[name] = await credential(file);
    env[`${name.toUpperCase()}_CONTAINMENT_TOKEN_PATH`] = join(path, "credentials", file);
  }
  const auditKey = await credential("incident-recorder-audit-hmac.key");
  const signingKey = await credential("incident-recorder-signing.key");
  await credential("runtime-attestor.token");
  const attestor = await startAttestor();
  await writeFile(join(path, "credentials/runtime-attestor-signing.pub"), attestor.publicKey);
  const policyPath = join(path, "policy/incident-containment.yaml");
  await cp(join(top, "image/common/etc/secure-ai/policy/incident-containment.yaml"), policyPath);
  const vault = startVaultBroker(join(path, "vault-control"));
  // Ports that nobody listens on until the targets are started.
  const [airlock, registry] = [await freePort(), await freePort()];
  const auditPath = join(path, "state/audit.jsonl");
  const auditAnchor = join(path, "anchor/audit.head");
  Object.assign(env, {
    AUDIT_HMAC_KEY_PATH: join(path, "credentials/incident-recorder-audit-hmac.key"),
    INCIDENT_SIGNING_KEY_PATH: join(path, "credentials/incident-recorder-signing.key"),
    RUNTIME_ATTESTOR_TOKEN_PATH: join(path, "credentials/runtime-attestor.token"),
    RUNTIME_ATTESTOR_PUBLIC_KEY_PATH: join(path, "credentials/runtime-attestor-signing.pub"),
    RUNTIME_ATTESTOR_URL: `http://127.0.0.1:${attestor.port}`,
    CONTAINMENT_POLICY_PATH: policyPath,
    INCIDENT_STORE_DIR: join(path, "state/store"),
    INCIDENT_STORE_ANCHOR_PATH: join(path, "anchor/store.head"),
    INCIDENT_WEBHOOK_DIR: join(path, "state/webhooks"),
    AUDIT_LOG_PATH: auditPath,
    AUDIT_ANCHOR_PATH: auditAnchor,
    AGENT_SOCKET: join(path, "agent.sock"),
    AIRLOCK_URL: `http://127.0.0.1:${airlock}`,
    REGISTRY_URL: `http://127.0.0.1:${registry}`,
    VAULT_RELOCK_REQUEST_DIR: vault.requests,
    VAULT_RELOCK_RESULT_DIR: vault.results,
  });
  const targets: Home["targets"] = {};
  return {
    path,
    env,
    storePath: join(path, "state/store"),
    storeAnchor: join(path, "anchor/store.head"),
    auditPath,
    auditAnchor,
    policyPath,
    attestor,
    vault,
    publicKey: createSigner(signingKey).publicKey(),
    targets,
    token: (scope) => byScope.get(scope) ?? "",
    async startTargets() {
      targets.agent = await startTarget({ kind: "agent", listen: join(path, "agent.sock"), token: held.agent ?? "" });
      targets.airlock = await startTarget({ kind: "airlock", listen: airlock, token: held.airlock ?? "" });
      targets.registry = await startTarget({ kind: "registry", listen: registry, token: held.registry ?? "" });
    },
    auditRecords: async () =>
      (await readFile(auditPath, "utf8"))
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as AuditLine),
    verifyAudit: () => verifyAudit(auditPath, Buffer.from(auditKey, "hex"), auditAnchor),
    async remove() {
      vault.stop();
      await attestor.close();
      for (const target of Object.values(targets)) await target.close();
      await rm(path, { recursive: true });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = await startTarget({ kind: "airlock", listen: 0, token: "" });
  await probe.close();
  return probe.port;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
}

export interface Service {
  readonly port: number;
  readonly pid: number;
  call(scope: RecorderScope | undefined, path: string, body?: unknown): Promise<Answer>;
  report(report: Partial<IncidentReport> & { readonly source: Reporter }): Promise<Answer>;
  incidents(): Promise<readonly Incident[]>;
  get(id: string): Promise<Incident>;
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

interface LogLine {
  readonly message?: string;
  readonly port?: number;
  readonly code?: string;
  readonly error?: string;
}

function launch(home: Home, { prefix = [], nodeOptions = [], main = MAIN }: StartOptions): ChildProcess {
  const [program = "", ...args] = [...prefix, process.execPath, ...nodeOptions, main];
  return spawn(program, args, { cwd: top, env: { PATH: process.env.PATH, ...home.env }, stdio: ["ignore", "inherit", "pipe"] });
}

async function* logLines(child: ChildProcess): AsyncGenerator<LogLine> {
  if (child.stderr === null) return;
  for await (const line of createInterface(child.stderr))
    yield line.startsWith("{") ? (JSON.parse(line) as LogLine) : { message: line };
}

const MAIN = "services-src/incident-recorder/main.ts";

export interface StartOptions {
  readonly prefix?: readonly string[];
  readonly nodeOptions?: readonly string[];
  /** What Node runs; default: the sources. */
  readonly main?: string;
}

/** @throws Error with its log if it does not come up */
export async function startRecorder(home: Home, options: StartOptions = {}): Promise<Service> {
  const child = launch(home, options);
  const seen: LogLine[] = [];
  const lines = logLines(child);
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
    seen.push(line.value);
    if (line.value.message === "service ready") break;
  }
  const port = seen.find(({ message }) => message === "listening")?.port;
  if (port === undefined) throw new Error(`the recorder did not start: ${JSON.stringify(seen)}`);
  child.stderr?.resume();
  return connect(child, port, home);
}

/** The code it refuses to start with, and its exit status. */
export async function refusedStart(
  home: Home,
): Promise<{ readonly status: number | null; readonly code: string | undefined; readonly error: string }> {
  const child = launch(home, {});
  const ended = once(child, "exit");
  const seen: LogLine[] = [];
  for await (const line of logLines(child)) {
    seen.push(line);
    if (line.message === "service ready") child.kill("SIGKILL");
  }
  const [status] = (await ended) as [number | null];
  const failure = seen.find(({ code }) => code !== undefined);
  return { status, code: failure?.code, error: failure?.error ?? JSON.stringify(seen) };
}

function connect(child: ChildProcess, port: number, home: Home): Service {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const call: Service["call"] = (scope, path, body) =>
    new Promise((resolve, reject) => {
      const text = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
      const headers = {
        ...(scope === undefined ? {} : { authorization: `Bearer ${home.token(scope)}` }),
        ...(text === undefined ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(text)) }),
      };
      const method = text === undefined && !/reload$/.test(path) ? "GET" : "POST";
      const outgoing = request({ host: "127.0.0.1", port, method, path, headers, agent }, (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("end", () => resolve(toAnswer(incoming.statusCode ?? 0, Buffer.concat(chunks).toString())));
        incoming.on("error", reject);
      });
      outgoing.on("error", reject);
      outgoing.end(text);
    });
  return {
    port,
    pid: child.pid ?? 0,
    call,
    report: ({ source, ...more }) =>
      call(`reporter.${source}`, "/api/v1/incidents/report", {
        class: "integrity_violation",
        description: randomUUID(),
        source,
        ...more,
      }),
    incidents: async () =>
      (await call("read", "/api/v1/incidents/query", { limit: 5000 })).json as unknown as readonly Incident[],
    get: async (id) => (await call("read", "/api/v1/incidents/get", { id })).json as unknown as Incident,
    async end(signal) {
      agent.destroy();
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
      const ended = once(child, "exit");
      child.kill(signal);
      const [status, killed] = (await ended) as [number | null, NodeJS.Signals | null];
      return status ?? killed;
    },
  };
}

function toAnswer(status: number, text: string): Answer {
  return { status, text, json: text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : {} };
}

/** Waits for something that happens behind the answers; the limit is for a test that would never end. */
export async function until<T>(look: () => Promise<T | undefined | false> | T | undefined | false, limitMs = 20_000): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error("it did not happen");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
