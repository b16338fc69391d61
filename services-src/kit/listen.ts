import { chmod, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { HttpError, KitError } from "./errors.ts";
import type { App, HttpRequest } from "./http.ts";

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_BODY_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 256;
const HEADERS_TIMEOUT_MS = 5_000;
/** For reading a request; also for answering it, counted from its headers. */
const REQUEST_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 60_000;

export type Address = { readonly host: string; readonly port: number } | { readonly socketPath: string };

export interface Listener {
  /** Where it really listens: port 0 is replaced by the one the system chose. */
  readonly address: Address;
  /** Takes no new connection, lets running requests end for `graceMs`, then cuts what is left. */
  close(graceMs: number): Promise<void>;
}

/**
 * "127.0.0.1:8500", "[::1]:8500" or "unix:/run/x.sock". Nothing that another machine could reach, whatever the firewall says.
 * @throws KitError ADDRESS_NOT_LOCAL
 */
export function parseAddress(text: string): Address {
  const socketPath = /^unix:(\/.{1,100})$/.exec(text)?.[1];
  if (socketPath !== undefined) return { socketPath };
  const [, ipv4, ipv6, port] = /^(?:(127\.0\.0\.1)|\[(::1)\]):(0|[1-9][0-9]{0,4})$/.exec(text) ?? [];
  const host = ipv4 ?? ipv6;
  if (host === undefined || Number(port) > 65_535) {
    throw new KitError("ADDRESS_NOT_LOCAL", { expected: "127.0.0.1:PORT, [::1]:PORT or unix:/PATH", actual: text });
  }
  return { host, port: Number(port) };
}

export async function listen(app: App, address: Address): Promise<Listener> {
  const options = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
    insecureHTTPParser: false,
    requireHostHeader: true,
  };
  const server = createServer(options, (request, response) => void serve(app, request, response, !server.listening));
  server.maxConnections = MAX_CONNECTIONS;
  await start(server, address);
  return { address: boundAddress(server, address), close: (graceMs) => stop(server, graceMs) };
}

async function start(server: Server, address: Address): Promise<void> {
  if ("socketPath" in address) await rm(address.socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(
      "socketPath" in address ? { path: address.socketPath } : { host: address.host, port: address.port, exclusive: true },
      resolve,
    );
  });
  if ("socketPath" in address) await chmod(address.socketPath, 0o660);
}

function boundAddress(server: Server, address: Address): Address {
  const bound = server.address();
  return "host" in address && typeof bound === "object" && bound !== null ? { host: address.host, port: bound.port } : address;
}

async function stop(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(cut);
}

async function serve(app: App, incoming: IncomingMessage, outgoing: ServerResponse, draining: boolean): Promise<void> {
  const { status, headers, body } = await app(toRequest(incoming, lifetimeOf(outgoing)));
  if (outgoing.destroyed) return;
  // A body that was not read to its end would be taken for the next request; and a draining service wants no next request.
  if (!incoming.complete || draining) outgoing.setHeader("Connection", "close");
  outgoing.writeHead(status, { ...headers, "Content-Length": Buffer.byteLength(body) }).end(body);
  if (!incoming.complete) outgoing.once("finish", () => incoming.destroy());
}

/** Aborts when the client leaves before its answer, or when the time for one is over. */
function lifetimeOf(outgoing: ServerResponse): AbortSignal {
  const life = new AbortController();
  const limit = setTimeout(() => life.abort(), REQUEST_TIMEOUT_MS);
  outgoing.once("close", () => {
    clearTimeout(limit);
    if (!outgoing.writableFinished) life.abort();
  });
  return life.signal;
}

function toRequest(incoming: IncomingMessage, signal: AbortSignal): HttpRequest {
  return {
    method: incoming.method ?? "",
    target: incoming.url ?? "",
    authorization: incoming.headers.authorization,
    contentType: incoming.headers["content-type"],
    signal,
    readBody: () => readBody(incoming),
  };
}

/** Counts while it reads: a chunked body announces no length. Plain events: an iterator over a stream costs more than a decision does. */
function readBody(incoming: IncomingMessage): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const tooLarge = () => reject(new HttpError("HTTP_BODY_TOO_LARGE"));
    if (Number(incoming.headers["content-length"] ?? 0) > MAX_BODY_BYTES) return tooLarge();
    const chunks: Buffer[] = [];
    let length = 0;
    incoming.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAX_BODY_BYTES) {
        incoming.pause();
        return tooLarge();
      }
      chunks.push(chunk);
    });
    incoming.once("end", () => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)));
    incoming.once("error", reject);
  });
}
