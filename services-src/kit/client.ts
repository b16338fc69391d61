import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { ClientError } from "./client-errors.ts";
import type { Credential } from "./files.ts";
import { parseStrictJson } from "./json.ts";
import type { Address } from "./listen.ts";
import type { Shape } from "./schema.ts";

const MAX_ANSWER_BYTES = 1 << 20;
const DEFAULT_TIMEOUT_MS = 5_000;

/** A service of this machine, and the credential for what we want of it. */
export interface Peer {
  /** For messages, e.g. "incident-recorder". */
  readonly name: string;
  readonly address: Address;
  /** Absent: the peer is asked without one. */
  readonly token?: Credential;
}

export interface Ask<T> {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: unknown;
  /** What the answer must be. */
  readonly response: Shape<T>;
  /** Statuses that are answers; default 200 alone. */
  readonly statuses?: readonly number[];
  /** Milliseconds for the whole exchange; default 5000. */
  readonly timeoutMs?: number;
  readonly maxAnswerBytes?: number;
  readonly signal?: AbortSignal;
}

/**
 * Asks a service of this machine, once: no redirects, no retries, no proxies, one connection each. What comes back is taken for hostile.
 * @throws ClientError PEER_UNREACHABLE, PEER_TIMEOUT, PEER_REFUSED, PEER_ANSWER
 */
export async function ask<T>(peer: Peer, wanted: Ask<T>): Promise<T> {
  const value = parseAnswer(peer, await askBytes(peer, wanted));
  if (wanted.response.is(value)) return value;
  const [problem] = wanted.response.problems(value, 1);
  throw new ClientError("PEER_ANSWER", {
    expected: `${wanted.response.name} from ${peer.name}`,
    actual: `${problem?.pointer}: ${problem?.message}`,
  });
}

/** What is asked, whatever the answer looks like. */
export type Question = Omit<Ask<unknown>, "response">;

/**
 * The same, with the answer's bytes as they came: for what is signed in exactly this form. Whoever asks judges them.
 * @throws ClientError PEER_UNREACHABLE, PEER_TIMEOUT, PEER_REFUSED, PEER_ANSWER for too many of them
 */
export async function askBytes(peer: Peer, wanted: Question): Promise<Buffer> {
  const { status, bytes } = await exchange(peer, wanted);
  if (!(wanted.statuses ?? [200]).includes(status)) throw refusedBy(peer, status, bytes);
  return bytes;
}

interface Received {
  readonly status: number;
  readonly bytes: Buffer;
}

function exchange(peer: Peer, wanted: Question): Promise<Received> {
  const body = wanted.body === undefined ? undefined : Buffer.from(JSON.stringify(wanted.body));
  const limit = AbortSignal.timeout(wanted.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const signal = wanted.signal === undefined ? limit : AbortSignal.any([limit, wanted.signal]);
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) => {
      if (cause instanceof ClientError) return reject(cause);
      const code = limit.aborted ? "PEER_TIMEOUT" : "PEER_UNREACHABLE";
      reject(new ClientError(code, { expected: `an answer of ${peer.name}`, actual: cause.message, cause }));
    };
    const outgoing = request({ ...options(peer, wanted, body), signal }, (incoming) => {
      receive(peer, incoming, wanted.maxAnswerBytes ?? MAX_ANSWER_BYTES).then(resolve, fail);
    });
    outgoing.once("error", fail);
    outgoing.end(body);
  });
}

function options({ address, token }: Peer, { method, path }: Question, body: Buffer | undefined): RequestOptions {
  const where = "socketPath" in address ? { socketPath: address.socketPath } : { host: address.host, port: address.port };
  const json = body === undefined ? {} : { "Content-Type": "application/json", "Content-Length": body.length };
  return {
    ...where,
    method,
    path,
    agent: false,
    headers: { ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }), Accept: "application/json", ...json },
  };
}

async function receive({ name }: Peer, incoming: IncomingMessage, maxBytes: number): Promise<Received> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes)
      throw new ClientError("PEER_ANSWER", { expected: `at most ${maxBytes} bytes from ${name}`, actual: "more" });
    chunks.push(chunk);
  }
  return { status: incoming.statusCode ?? 0, bytes: Buffer.concat(chunks) };
}

function parseAnswer({ name }: Peer, bytes: Buffer): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (cause) {
    throw new ClientError("PEER_ANSWER", { expected: `JSON from ${name}`, actual: (cause as Error).message, cause });
  }
}

/** The peer's own error code, if it sent one that looks like one. */
function refusedBy({ name }: Peer, status: number, bytes: Buffer): ClientError {
  const code = /"code"\s*:\s*"([A-Z][A-Z0-9_]{1,63})"/.exec(bytes.toString("latin1", 0, 4096))?.[1] ?? "no code";
  return new ClientError("PEER_REFUSED", { expected: `${name} to agree`, actual: `${status} ${code}` }, status);
}
