import { request } from "node:http";
import { EngineError } from "../errors.ts";
import { DaggerError } from "./errors.ts";

/** A build log in one answer is the largest thing that comes this way; files are exported, not answered. */
const MAX_ANSWER_BYTES = 64 << 20;

export interface TransportOptions {
  readonly signal: AbortSignal;
  /** For one query, in ms. */
  readonly limitMs: number;
}

/**
 * A `fetch` for the SDK's GraphQL client, over node:http: the platform's own gives up after five minutes without headers, and the
 * SDK's cannot be stopped. When `signal` fires or the limit passes, the connection is closed, which makes the engine stop the work.
 * Neither the query nor the token is in any error.
 */
export function createTransport({ signal, limitMs }: TransportOptions): typeof fetch {
  return (input, init) =>
    new Promise((resolve, reject) => {
      const stop = new AbortController();
      const timer = setTimeout(() => fail(new DaggerError("DAGGER_DEADLINE", deadlineDetail(limitMs))), limitMs);
      const onAbort = (): void => fail(new EngineError("BUILD_CANCELLED"));
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const fail = (error: Error): void => {
        settle();
        reject(error);
        stop.abort();
      };
      const lost = (error: NodeJS.ErrnoException): void =>
        fail(
          new DaggerError("DAGGER_CONNECTION_LOST", { expected: "an answer from the session", actual: error.code ?? error.name }),
        );
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) return onAbort();
      const headers = Object.fromEntries(new Headers(init?.headers));
      const sent = request(
        urlOf(input),
        { method: init?.method ?? "GET", headers, signal: stop.signal, agent: false },
        (answer) => {
          const chunks: Buffer[] = [];
          let size = 0;
          answer.on("error", lost);
          answer.on("aborted", () => lost(new Error("aborted")));
          answer.on("data", (chunk: Buffer) => {
            size += chunk.length;
            chunks.push(chunk);
            if (size > MAX_ANSWER_BYTES) fail(new DaggerError("DAGGER_QUERY_FAILED", sizeDetail));
          });
          answer.on("end", () => {
            settle();
            const contentType = answer.headers["content-type"] ?? "application/json";
            // Some statuses of a hostile server (204, 999) cannot be made a Response; 200 is the only good one.
            const status = answer.statusCode === 200 ? 200 : 500;
            resolve(new Response(Buffer.concat(chunks), { status, headers: { "content-type": contentType } }));
          });
        },
      );
      sent.on("error", lost);
      sent.end(typeof init?.body === "string" ? init.body : undefined);
    });
}

const sizeDetail = { expected: `an answer of at most ${MAX_ANSWER_BYTES} bytes`, actual: "more" };
const deadlineDetail = (limitMs: number) => ({ expected: `an answer within ${limitMs / 1000} s`, actual: "none" });

function urlOf(input: Parameters<typeof fetch>[0]): string {
  return typeof input === "string" ? input : input instanceof URL ? input.href : input.url;
}
