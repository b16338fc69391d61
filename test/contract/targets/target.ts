import { timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";

export type TargetKind = "agent" | "airlock" | "registry";

export interface TargetOptions {
  readonly kind: TargetKind;
  /** A path for a Unix socket, or a port of 127.0.0.1 (0: any). */
  readonly listen: string | number;
  readonly token: string;
  /** Where it keeps who holds it, so that its own restart opens nothing. Absent: in memory only. */
  readonly statePath?: string;
}

export interface Target {
  readonly port: number;
  /** Incidents that hold it: closed unless empty. */
  held(): readonly string[];
  /** Requests it took, oldest first. */
  readonly calls: readonly { readonly path: string; readonly body: Body }[];
  /** For the next requests: wait so long, or answer with this status. */
  misbehave(how: { readonly delayMs?: number; readonly status?: number; readonly garbage?: boolean }): void;
  close(): Promise<void>;
}

export type Body = Readonly<Record<string, unknown>>;

const MAX_BODY_BYTES = 64 * 1024;
const ID = /^[A-Za-z0-9_.-]{1,128}$/;
const closes: Readonly<
  Record<TargetKind, { readonly path: string; readonly action: string; readonly fields: readonly string[] }>
> = {
  agent: { path: "/api/v1/freeze", action: "freeze", fields: ["action", "incident_id", "reason"] },
  airlock: { path: "/api/v1/disable", action: "disable", fields: ["action", "incident_id", "reason"] },
  registry: {
    path: "/api/v1/quarantine",
    action: "quarantine",
    fields: ["action", "incident_id", "model_name", "model_path", "reason"],
  },
};
const RELEASE = { path: "/api/v1/release", action: "release", fields: ["action", "binding", "incident_id"] };
const WEBHOOK = "/api/v1/webhook";

/**
 * What containment closes, as small as it can be: it speaks the documented requests of one target, idempotent by incident, and stays
 * closed until every incident that closed it has been released. Node alone, no dependency: it also runs inside a machine.
 */
export async function startTarget(options: TargetOptions): Promise<Target> {
  const holders = new Set(readState(options.statePath));
  const calls: { path: string; body: Body }[] = [];
  let fault: Parameters<Target["misbehave"]>[0] = {};
  const server = createServer(async (request, response) => {
    const { delayMs = 0, status: wrong, garbage = false } = fault;
    const body = await readBody(request);
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    const { status, json } =
      wrong === undefined ? answer(options, holders, request, body) : { status: wrong, json: error("FAULT") };
    if (status < 300 && body !== undefined) calls.push({ path: request.url ?? "", body });
    if (status === 200 && options.statePath !== undefined) writeState(options.statePath, holders);
    const text = garbage ? "{" : JSON.stringify(json);
    response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
    response.end(text);
  });
  await listen(server, options.listen);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    held: () => [...holders],
    calls,
    misbehave(how) {
      fault = how;
    },
    close: () => close(server),
  };
}

interface Answer {
  readonly status: number;
  readonly json: unknown;
}

function answer({ kind, token }: TargetOptions, holders: Set<string>, request: IncomingMessage, body: Body | undefined): Answer {
  const path = request.url ?? "";
  if (!isToken(request.headers.authorization, token)) return { status: 401, json: error("HTTP_UNAUTHENTICATED") };
  if (request.method === "GET" && path === "/state") return { status: 200, json: { held_by: [...holders] } };
  if (request.method !== "POST") return { status: 405, json: error("HTTP_METHOD") };
  if (kind === "airlock" && path === WEBHOOK) return { status: 202, json: { status: "queued" } };
  const rule = [closes[kind], RELEASE].find((each) => each.path === path);
  if (rule === undefined) return { status: 404, json: error("HTTP_NOT_FOUND") };
  if (body === undefined || !isRequest(body, rule)) return { status: 400, json: error("HTTP_BODY_SCHEMA") };
  const id = String(body.incident_id);
  if (rule === RELEASE) holders.delete(id);
  else holders.add(id);
  return { status: 200, json: { status: holders.size > 0 ? "held" : "released", incident_id: id, held_by: [...holders] } };
}

function isToken(authorization: string | undefined, token: string): boolean {
  const [given, wanted] = [Buffer.from(authorization ?? ""), Buffer.from(`Bearer ${token}`)];
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function isRequest(body: Body, rule: { readonly action: string; readonly fields: readonly string[] }): boolean {
  const isWhole =
    Object.keys(body).sort().join() === rule.fields.join() && Object.values(body).every((value) => typeof value === "string");
  return isWhole && body.action === rule.action && ID.test(String(body.incident_id));
}

async function readBody(request: IncomingMessage): Promise<Body | undefined> {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) return undefined;
  }
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Body) : undefined;
  } catch {
    return undefined;
  }
}

const error = (code: string) => ({ code, message: code, requestId: "-" });

function readState(path: string | undefined): readonly string[] {
  return path === undefined || !existsSync(path) ? [] : (JSON.parse(readFileSync(path, "utf8")) as string[]);
}

function writeState(path: string, holders: ReadonlySet<string>): void {
  writeFileSync(`${path}.new`, JSON.stringify([...holders]));
  renameSync(`${path}.new`, path);
}

function listen(server: Server, where: string | number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    if (typeof where === "string") server.listen(where, resolve);
    else server.listen(where, "127.0.0.1", resolve);
  });
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
