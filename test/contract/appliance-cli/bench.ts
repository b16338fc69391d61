import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Incident, incidentClasses, type Requirement, severities } from "@secai/kit/api/incidents";
import { credentialNames, publicName, signingKeys, tokens } from "@secai/kit/credential-names";
import { createSigner, type Signer } from "@secai/kit/signing";

const top = join(import.meta.dirname, "../../..");
export const ID = "INC-20260101-000000-0001";
const WHEN = "2026-01-01T00:00:00.000Z";
const DIGEST = "a".repeat(64);

export const incident: Incident = {
  id: ID,
  created_at: WHEN,
  class: "integrity_violation",
  severity: "critical",
  state: "contained",
  source: "integrity-monitor",
  description: "a policy changed",
  evidence: { path: "/etc/x", count: 3 },
  fingerprint: DIGEST,
  count: 7,
  last_seen_at: WHEN,
  latched: true,
  escalated: false,
  containment_actions: ["freeze_agent", "force_vault_relock"],
  containment_results: [{ action: "freeze_agent", success: true, attempts: 1, completed_at: WHEN }],
  hash: DIGEST,
};
export const requirement: Requirement = {
  incident_id: ID,
  incident_class: "integrity_violation",
  severity: "critical",
  required_after: WHEN,
  containment_actions: ["freeze_agent", "force_vault_relock"],
  containment_results: [],
  containment_binding: DIGEST,
  containment_latch_active: true,
  require_ack: true,
  require_reattest: true,
  held_targets: ["agent", "vault"],
  recovery_complete: false,
};
export const stats = {
  total_incidents: 1,
  open_incidents: 0,
  contained_count: 0,
  resolved_count: 1,
  by_class: Object.fromEntries(incidentClasses.map((name) => [name, 0])),
  open_by_severity: Object.fromEntries(severities.map((name) => [name, 0])),
  overflow_count: 0,
  store_seq: 1,
  store_head: DIGEST,
  audit_seq: 1,
  audit_head: DIGEST,
  policy_digest: DIGEST,
};

/** What an integrity monitor says while nothing is wrong. */
export const trusted = {
  state: "trusted",
  scanned: true,
  latched_since: null,
  violation_count: 0,
  active_violations: [],
  latch_reasons: [],
  last_scan_at: null,
  baseline: null,
};

export interface Asked {
  readonly service: keyof typeof tokens;
  readonly request: string;
  /** Scope of the credential that came along; "none" without one. */
  readonly scope: string;
  readonly json: Record<string, unknown>;
}
/** `text`: exactly these bytes instead of the JSON. */
type Said = { readonly status?: number; readonly json?: unknown; readonly text?: string };
export type Answers = Record<string, Said | ((asked: Asked) => Said)>;

/** An appliance whose services are on the loopback and say what a test says: "GET /health" of every service, "POST /v1/check" of one. */
export interface Bench {
  readonly asked: Asked[];
  readonly answers: Answers;
  readonly env: Readonly<Record<string, string>>;
  path(name: string): string;
  key(name: string): Buffer;
  /** Signs as the runtime attestor, and as the incident recorder. */
  readonly signer: Signer;
  readonly recorderSigner: Signer;
  /** Takes a service away. */
  down(service: keyof typeof tokens): Promise<void>;
  secai(words: string, env?: Readonly<Record<string, string>>): Promise<Ended>;
  remove(): Promise<void>;
}

export async function createBench(): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), "secai-cli-"));
  const path = (name: string) => join(folder, name);
  for (const name of ["credentials", "state", "run"]) await mkdir(path(name), { mode: 0o700 });
  const secrets = new Map(credentialNames.map((name) => [name, randomBytes(32).toString("hex")]));
  for (const [name, secret] of secrets) await writeFile(path(`credentials/${name}`), `${secret}\n`, { mode: 0o600 });
  for (const name of signingKeys)
    await writeFile(path(`credentials/${publicName(name)}`), createSigner(secrets.get(name) ?? "").publicKey());
  const asked: Asked[] = [];
  const answers: Answers = {
    "GET /health": { json: { status: "ok" } },
    "incident-recorder GET /health": { json: { status: "ok", containment_failed: 0, latched: 0, writable: true } },
  };
  const services = Object.keys(tokens) as (keyof typeof tokens)[];
  const servers = new Map(
    await Promise.all(services.map(async (service) => [service, await serve(service, secrets, asked, answers)] as const)),
  );
  const addresses = Object.fromEntries(
    [...servers].map(([name, { port }]) => [`SECAI_${name.toUpperCase().replaceAll("-", "_")}_ADDR`, `127.0.0.1:${port}`]),
  );
  const env = {
    SECAI_CREDENTIALS: path("credentials"),
    SECAI_STATE: path("state"),
    SECAI_RUNTIME: path("run"),
    ...addresses,
  };
  return {
    asked,
    answers,
    env,
    path,
    key: (name) => Buffer.from(secrets.get(name) ?? "", "hex"),
    signer: createSigner(secrets.get("runtime-attestor-signing.key") ?? ""),
    recorderSigner: createSigner(secrets.get("incident-recorder-signing.key") ?? ""),
    down: async (service) => servers.get(service)?.close(),
    secai: (words, extra = {}) => secaiWith(words.split(" "), { ...env, ...extra }),
    async remove() {
      for (const { close } of servers.values()) await close();
      await rm(folder, { recursive: true });
    },
  };
}

async function serve(service: keyof typeof tokens, secrets: ReadonlyMap<string, string>, asked: Asked[], answers: Answers) {
  const scopes = new Map(Object.entries<string>(tokens[service]).map(([scope, file]) => [`Bearer ${secrets.get(file)}`, scope]));
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const request = `${incoming.method} ${incoming.url}`;
      const { authorization } = incoming.headers;
      const scope = authorization === undefined ? "none" : (scopes.get(authorization) ?? "foreign");
      const one: Asked = { service, request, scope, json: (text === "" ? {} : JSON.parse(text)) as Record<string, unknown> };
      asked.push(one);
      const answer = answers[`${service} ${request}`] ?? answers[request];
      const said = typeof answer === "function" ? answer(one) : answer;
      const unknown: Said = { status: 404, json: { code: "HTTP_NOT_FOUND", message: "x", requestId: "x" } };
      const { status = 200, json, text: exactly } = said ?? unknown;
      outgoing.writeHead(status, { "Content-Type": "application/json" }).end(exactly ?? JSON.stringify(json));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { port: address.port, close };
}

export interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** The command as a process, from the sources; `prefix` is what starts it. */
export async function secaiWith(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
  prefix: readonly string[] = [],
): Promise<Ended> {
  const [program = "", ...args] = [
    ...prefix,
    process.execPath,
    join(top, "services-src/appliance-cli/programs/main.ts"),
    ...words,
  ];
  const child = spawn(program, args, {
    cwd: top,
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  const [status] = (await once(child, "close")) as [number | null];
  return { status, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}
