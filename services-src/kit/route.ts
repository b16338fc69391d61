import type { HttpErrorCode } from "./errors.ts";
import type { Shape } from "./schema.ts";

/** What a handler knows of its request besides the body. */
export interface Exchange {
  /** Also in the answer's X-Request-Id and in the audit record. */
  readonly requestId: string;
  /** Aborts when the client leaves or the request's time is over: whatever was begun for it must stop. */
  readonly signal: AbortSignal;
}

/** `text` is for the metrics page only; every other answer is JSON. */
export type Reply = { readonly status: number; readonly json: unknown } | { readonly status: number; readonly text: string };

interface RouteFacts {
  readonly method: "GET" | "POST";
  /** Exact path; there are no parameters in paths and no query strings. */
  readonly path: string;
  readonly summary: string;
  /** "open": answers without a credential. Only liveness and readiness are. */
  readonly access: "open" | "token";
  /** The shape of status 200; without it the answer is text. */
  readonly response?: Shape<unknown>;
  /** Errors beyond those every route has. */
  readonly errors?: readonly HttpErrorCode[];
}

export interface Route extends RouteFacts {
  /** Absent: the request must have no body. */
  readonly request?: Shape<unknown>;
  handle(body: unknown, exchange: Exchange): Promise<Reply>;
}

/** A route whose handler gets a body of the right type; http.ts checks the shape before it calls. */
export function route<T>(
  facts: RouteFacts & { readonly request: Shape<T> },
  handle: (body: T, exchange: Exchange) => Promise<Reply>,
): Route;
export function route(facts: RouteFacts, handle: (body: undefined, exchange: Exchange) => Promise<Reply>): Route;
export function route(facts: RouteFacts, handle: (body: never, exchange: Exchange) => Promise<Reply>): Route {
  return { ...facts, handle: (body, exchange) => handle(body as never, exchange) };
}
