import { PublishError } from "./errors.ts";

/** What retrying needs of the outside; tests have clocks of their own. */
export interface RetryClock {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly say: (text: string) => void;
  readonly signal?: AbortSignal;
}

const ATTEMPTS = 5;
/** The longest wait that GitHub may ask for; its hourly limit can ask for more, and then a person decides. */
const MAX_WAIT_MS = 15 * 60_000;
/** "wait at least one minute" where the answer does not say (GitHub REST API, "Handle rate limit errors appropriately"). */
const UNSAID_LIMIT_MS = 60_000;

/** Anything an HTTP client throws for an answer, or for none. */
interface HttpFailure {
  readonly status?: unknown;
  readonly response?: { readonly headers?: Readonly<Record<string, string | number | undefined>> };
}

/**
 * Runs `operation` until it succeeds, waiting as long as GitHub asks or, for its own failures and the network's, ever longer.
 * @throws PublishError PUBLISH_RATE_LIMITED, PUBLISH_UNAVAILABLE; at once, whatever is no reason to try again
 */
export async function withRetry<T>(what: string, operation: () => Promise<T>, clock: RetryClock): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await operation();
    } catch (error) {
      if (clock.signal?.aborted === true) throw new PublishError("PUBLISH_INTERRUPTED", { cause: error });
      const wait = waitFor(error, attempt, clock.now());
      if (wait === undefined) throw error;
      if (wait.ms > MAX_WAIT_MS)
        throw new PublishError("PUBLISH_RATE_LIMITED", {
          expected: `a wait of ${MAX_WAIT_MS / 60_000} minutes at most`,
          actual: `${Math.ceil(wait.ms / 60_000)} minutes`,
        });
      if (attempt === ATTEMPTS)
        throw new PublishError(wait.limited ? "PUBLISH_RATE_LIMITED" : "PUBLISH_UNAVAILABLE", {
          expected: what,
          actual: `${(error as Error).message}, ${ATTEMPTS} times`,
          cause: error,
        });
      clock.say(`${what}: ${wait.limited ? "rate limit" : (error as Error).message}; again in ${Math.ceil(wait.ms / 1000)} s\n`);
      await clock.sleep(wait.ms, clock.signal).catch((cause: unknown) => {
        throw new PublishError("PUBLISH_INTERRUPTED", { cause });
      });
    }
  }
}

/** How long to wait before the next attempt; undefined when another would fail like this one. */
export function waitFor(
  error: unknown,
  attempt: number,
  now: number,
): { readonly ms: number; readonly limited: boolean } | undefined {
  const { status, response } = Object(error) as HttpFailure;
  if (typeof status !== "number") return undefined;
  const headers = response?.headers ?? {};
  const after = Number(headers["retry-after"]);
  if ((status === 403 || status === 429) && after > 0) return { ms: after * 1000, limited: true };
  const reset = Number(headers["x-ratelimit-reset"]) * 1000;
  if ((status === 403 || status === 429) && headers["x-ratelimit-remaining"] === "0" && reset > 0)
    return { ms: Math.max(1000, reset - now), limited: true };
  if (status === 429) return { ms: UNSAID_LIMIT_MS, limited: true };
  // The client reports a connection that failed or broke as 500.
  return status >= 500 ? { ms: 1000 * 2 ** (attempt - 1), limited: false } : undefined;
}
