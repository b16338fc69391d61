import { hash, timingSafeEqual } from "node:crypto";
import { HttpError, KitError } from "./errors.ts";
import type { Credential } from "./files.ts";
import { createRateLimiter } from "./rate-limit.ts";
import type { Scope } from "./route.ts";
import type { Clock } from "./sources.ts";

/** Failures a minute that are recorded and answered with 401; further ones get 429 and are only counted, so that nobody fills the disk. */
const FAILURES = { perMinute: 30, burst: 10 };
/** Longest Authorization header that is looked at. */
const MAX_HEADER_CHARS = 512;

/**
 * Whose credential this is, if its scope is one of those `allowed`.
 * @throws HttpError HTTP_UNAUTHENTICATED, HTTP_FORBIDDEN, HTTP_RATE_LIMITED
 */
export type Authenticate = (authorization: string | undefined, allowed: readonly Scope[]) => Promise<Scope>;

export interface BearerParts {
  /** One credential a scope; no two may be the same secret. */
  readonly tokens: Readonly<Record<Scope, Credential>>;
  readonly clock: Clock;
  /** Writes an audit record; `unrecorded` failures came before it without one. `scope` is that of a genuine credential used elsewhere. */
  record(data: { reason: string; unrecorded: number; scope?: Scope }): Promise<unknown>;
}

/**
 * RFC 6750 bearer authentication with one credential a scope: none implies another. Both sides are hashed first: equal lengths for the
 * constant-time comparison, and no token in memory. All credentials are compared, whichever fits. The right token always passes, whatever
 * others have tried: guessing cannot lock the owner out.
 * @throws KitError CREDENTIAL_SHARED
 */
export function createBearer({ tokens, clock, record }: BearerParts): Authenticate {
  const expected = Object.entries(tokens).map(([scope, token]) => ({ scope, digest: digest(token) }));
  requireDistinct(expected);
  const failures = createRateLimiter(FAILURES);
  let unrecorded = 0;

  async function refuse(code: "HTTP_UNAUTHENTICATED" | "HTTP_FORBIDDEN", reason: string, scope?: Scope): Promise<never> {
    if (!failures.take(clock.monotonicMs())) {
      unrecorded += 1;
      throw new HttpError("HTTP_RATE_LIMITED");
    }
    const left = unrecorded;
    unrecorded = 0;
    await record({ reason, unrecorded: left, ...(scope === undefined ? {} : { scope }) });
    throw new HttpError(code);
  }

  return async (authorization, allowed) => {
    const presented = parseBearer(authorization);
    if (presented === undefined) return refuse("HTTP_UNAUTHENTICATED", "token missing");
    const hashed = digest(presented);
    const [match] = expected.filter((entry) => timingSafeEqual(hashed, entry.digest));
    if (match === undefined) return refuse("HTTP_UNAUTHENTICATED", "token wrong");
    if (!allowed.includes(match.scope)) return refuse("HTTP_FORBIDDEN", "token of another scope", match.scope);
    return match.scope;
  };
}

function requireDistinct(entries: readonly { readonly scope: Scope; readonly digest: Buffer }[]): void {
  const seen = new Map<string, Scope>();
  for (const { scope, digest } of entries) {
    const other = seen.get(digest.toString("hex"));
    if (other !== undefined)
      throw new KitError("CREDENTIAL_SHARED", { expected: "one credential a scope", actual: `one for ${other} and ${scope}` });
    seen.set(digest.toString("hex"), scope);
  }
}

function parseBearer(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > MAX_HEADER_CHARS) return undefined;
  return /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization)?.[1];
}

function digest(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
