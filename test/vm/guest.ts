import { VmError } from "./errors.ts";
import type { Machine } from "./machine.ts";

export interface HttpRequest {
  readonly method?: string;
  /** Sent as it is, so that a scenario can send a malformed one. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** The bytes of an HTTP/1.1 request that ends its connection. */
export function encodeRequest(port: number, { method = "GET", path, headers = {}, body = "" }: HttpRequest): Buffer {
  const fields = {
    host: `127.0.0.1:${port}`,
    connection: "close",
    "content-length": String(Buffer.byteLength(body)),
    ...headers,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`);
}

/** @throws VmError CHECK_FAILED when it is no HTTP response */
export function parseResponse(bytes: Buffer): HttpResponse {
  const text = bytes.toString("utf8");
  const end = text.indexOf("\r\n\r\n");
  const [statusLine = "", ...lines] = text.slice(0, Math.max(0, end)).split("\r\n");
  const status = /^HTTP\/1\.1 (\d{3})\b/.exec(statusLine);
  if (end < 0 || status === null) throw new VmError("CHECK_FAILED", { expected: "an HTTP response", actual: text.slice(0, 200) });
  const headers = new Map(
    lines.map((line) => [line.split(":", 1)[0]?.toLowerCase() ?? "", line.slice(line.indexOf(":") + 1).trim()]),
  );
  return { status: Number(status[1]), headers, body: text.slice(end + 4) };
}

/** Sends a request from inside the machine to a service on its loopback interface, without any program of its own. */
export async function http(machine: Machine, port: number, request: HttpRequest): Promise<HttpResponse> {
  const script = `exec 5<>/dev/tcp/127.0.0.1/${port}; cat >&5 2>/dev/null; timeout 20 cat <&5`;
  const { stdoutBytes } = await machine.run(script, { stdin: encodeRequest(port, request) });
  return parseResponse(stdoutBytes);
}

/** Waits until a request gets this status. */
export async function waitForStatus(
  machine: Machine,
  port: number,
  path: string,
  status: number,
  limitMs: number,
): Promise<void> {
  const request = encodeRequest(port, { path }).toString("latin1").replaceAll("\r\n", "\\r\\n");
  await machine.waitUntil(
    `exec 5<>/dev/tcp/127.0.0.1/${port} && printf '${request}' >&5 && read -t 5 -r _ s _ <&5 && [ "$s" = ${status} ]`,
    limitMs,
  );
}
