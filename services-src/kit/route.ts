import type { Shape } from "./schema.ts";

/** What one credential lets its holder do at one service, e.g. "operator". */
export type Scope = string;

/** What a handler knows of its request besides the body. */
export interface Exchange {
  /** Whose credential came with the request; undefined where none is asked for. */
  readonly caller?: Scope;
  /** Also in the answer's X-Request-Id and in the audit record. */
  readonly requestId: string;
  /** Aborts when the client leaves or the request's time is over: whatever was begun for it must stop. */
  readonly signal: AbortSignal;
}

/** `text` is for the metrics page only; every other answer is JSON. `jsonBytes`: UTF-8 of a value that is JSON text already. */
export type Reply =
  | { readonly status: number; readonly json: unknown }
  | { readonly status: number; readonly jsonBytes: Uint8Array }
  | { readonly status: number; readonly text: string };

/** What is public about a route: the OpenAPI page is made of these. */
export interface Endpoint<T = unknown> {
  readonly method: "GET" | "POST";
  /** Exact path; there are no parameters in paths and no query strings. */
  readonly path: string;
  readonly summary: string;
  /** "open": answers without a credential. Only liveness and readiness are. Otherwise the scopes of which the caller needs one. */
  readonly access: "open" | readonly [Scope, ...Scope[]];
  /** Absent: the request must have no body. */
  readonly request?: Shape<T>;
  /** The shape of status 200; without it the answer is text. */
  readonly response?: Shape<unknown>;
  /** Status of each error beyond those that every route has, by code. */
  readonly errors?: Readonly<Record<string, number>>;
}

export interface Route extends Endpoint {
  handle(body: unknown, exchange: Exchange): Promise<Reply>;
}

/** An endpoint and its handler, which gets a body of the right type: http.ts checks the shape before it calls. */
export function route<T>(endpoint: Endpoint<T>, handle: (body: T, exchange: Exchange) => Promise<Reply>): Route {
  return { ...endpoint, handle: (body, exchange) => handle(body as T, exchange) };
}
