import type { Authenticate } from "./auth.ts";
import { HttpError, type HttpErrorCode, httpErrors, KitError, kitErrors } from "./errors.ts";
import { parseStrictJson } from "./json.ts";
import { errorFields, type Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Exchange, Reply, Route } from "./route.ts";
import type { Clock, Ids } from "./sources.ts";

/** A request as listen.ts hands it over; tests make them without a socket. */
export interface HttpRequest {
  readonly method: string;
  /** The whole request target. */
  readonly target: string;
  readonly authorization: string | undefined;
  readonly contentType: string | undefined;
  readonly signal: AbortSignal;
  /** @throws HttpError HTTP_BODY_TOO_LARGE */
  readBody(): Promise<Uint8Array>;
}

type Headers = Readonly<Record<string, string>>;

export interface HttpResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string | Uint8Array;
}

export type App = (request: HttpRequest) => Promise<HttpResponse>;

export interface AppParts {
  readonly routes: readonly Route[];
  readonly authenticate: Authenticate;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Limit, find, authenticate, decode, handle, encode. Never throws: whatever goes wrong becomes an answer that allows nothing. */
export function createApp(parts: AppParts): App {
  const paths = groupByPath(parts.routes);
  return async (request) => {
    const requestId = parts.ids.next();
    const start = parts.clock.monotonicMs();
    const matched = paths.get(request.target);
    const response = await answer(parts, matched, request, { requestId, signal: request.signal });
    // The path label comes from the route table, never from the request.
    const path = matched === undefined ? "other" : request.target;
    parts.metrics.count("http_requests_total", { path, status: String(response.status) });
    parts.metrics.observeSeconds("http_request_seconds", (parts.clock.monotonicMs() - start) / 1000);
    return response;
  };
}

type Methods = ReadonlyMap<string, Route>;

function groupByPath(routes: readonly Route[]): ReadonlyMap<string, Methods> {
  const paths = new Map<string, Map<string, Route>>();
  for (const route of routes) paths.set(route.path, (paths.get(route.path) ?? new Map<string, Route>()).set(route.method, route));
  return paths;
}

async function answer(
  parts: AppParts,
  methods: Methods | undefined,
  request: HttpRequest,
  exchange: Exchange,
): Promise<HttpResponse> {
  try {
    if (methods === undefined) return refusal("HTTP_NOT_FOUND", exchange);
    const route = methods.get(request.method);
    if (route === undefined) return refusal("HTTP_METHOD", exchange, { Allow: [...methods.keys()].join(", ") });
    const { access } = route;
    const caller = access === "open" ? {} : { caller: await parts.authenticate(request.authorization, access) };
    const body = await decode(route, request);
    request.signal.throwIfAborted();
    return encode(await route.handle(body, { ...exchange, ...caller }), exchange);
  } catch (error) {
    return fromError(parts.log, error, exchange);
  }
}

/** @throws HttpError HTTP_BODY_UNEXPECTED, HTTP_MEDIA_TYPE, HTTP_BODY_TOO_LARGE, HTTP_BODY_MALFORMED, HTTP_BODY_SCHEMA */
async function decode(route: Route, request: HttpRequest): Promise<unknown> {
  if (route.request !== undefined && !isJson(request.contentType)) throw new HttpError("HTTP_MEDIA_TYPE");
  const bytes = await request.readBody();
  if (route.request === undefined) {
    if (bytes.length > 0) throw new HttpError("HTTP_BODY_UNEXPECTED");
    return undefined;
  }
  const value = parseStrictJson(bytes);
  if (route.request.is(value)) return value;
  const [problem] = route.request.problems(value, 1);
  throw new HttpError("HTTP_BODY_SCHEMA", { expected: route.request.name, actual: `${problem?.pointer}: ${problem?.message}` });
}

function isJson(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/json(\s*;\s*charset=utf-8)?$/i.test(contentType);
}

/** An error of a service's own catalogue, in the form every error has. */
export function errorReply(status: number, code: string, message: string, { requestId }: Exchange): Reply {
  return { status, json: { code, message, requestId } };
}

function encode(reply: Reply, exchange: Exchange): HttpResponse {
  const { status } = reply;
  if ("text" in reply)
    return { status, headers: commonHeaders("text/plain; version=0.0.4; charset=utf-8", exchange), body: reply.text };
  const body = "jsonBytes" in reply ? reply.jsonBytes : JSON.stringify(reply.json);
  return { status, headers: commonHeaders("application/json", exchange), body };
}

function fromError(log: Log, error: unknown, exchange: Exchange): HttpResponse {
  const { requestId, signal } = exchange;
  if (error instanceof HttpError) {
    return refusal(error.code, exchange, error.code === "HTTP_UNAUTHENTICATED" ? { "WWW-Authenticate": "Bearer" } : {});
  }
  if (signal.aborted) return refusal("HTTP_UNAVAILABLE", exchange);
  log("error", "request failed", { requestId, ...errorFields(error) });
  if (error instanceof KitError && error.code === "AUDIT_UNAVAILABLE")
    return respondError(503, error.code, kitErrors.AUDIT_UNAVAILABLE.meaning, exchange);
  return refusal("HTTP_INTERNAL", exchange);
}

function refusal(code: HttpErrorCode, exchange: Exchange, headers: Headers = {}): HttpResponse {
  const { status, meaning } = httpErrors[code];
  return {
    ...respondError(status, code, meaning, exchange),
    headers: { ...commonHeaders("application/json", exchange), ...headers },
  };
}

function respondError(status: number, code: string, message: string, exchange: Exchange): HttpResponse {
  return encode(errorReply(status, code, message, exchange), exchange);
}

function commonHeaders(contentType: string, { requestId }: Exchange): Headers {
  return {
    "Content-Type": contentType,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Request-Id": requestId,
  };
}
