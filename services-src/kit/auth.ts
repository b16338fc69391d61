import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "./errors.ts";
import type { Credential } from "./files.ts";
import { createRateLimiter } from "./rate-limit.ts";
import type { Clock } from "./sources.ts";

/** Failures a minute that are recorded and answered with 401; further ones get 429 and are only counted, so that nobody fills the disk. */
const FAILURES = { perMinute: 30, burst: 10 };
/** Longest Authorization header that is looked at. */
const MAX_HEADER_CHARS = 512;

/** @throws HttpError HTTP_UNAUTHENTICATED, HTTP_RATE_LIMITED */
export type Authenticate = (authorization: string | undefined) => Promise<void>;

export interface BearerParts {
  readonly token: Credential;
  readonly clock: Clock;
  /** Writes an audit record; `unrecorded` failures came before it without one. */
  record(data: { reason: string; unrecorded: number }): Promise<unknown>;
}

/**
 * RFC 6750 bearer authentication. Both sides are hashed first: equal lengths for the constant-time comparison, and no token in memory.
 * The right token always passes, whatever others have tried: guessing cannot lock the owner out.
 */
export function createBearer({ token, clock, record }: BearerParts): Authenticate {
  const expected = digest(token);
  const failures = createRateLimiter(FAILURES);
  let unrecorded = 0;
  return async (authorization) => {
    const presented = parseBearer(authorization);
    if (presented !== undefined && timingSafeEqual(digest(presented), expected)) return;
    if (!failures.take(clock.monotonicMs())) {
      unrecorded += 1;
      throw new HttpError("HTTP_RATE_LIMITED");
    }
    const left = unrecorded;
    unrecorded = 0;
    await record({ reason: presented === undefined ? "token missing" : "token wrong", unrecorded: left });
    throw new HttpError("HTTP_UNAUTHENTICATED");
  };
}

function parseBearer(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > MAX_HEADER_CHARS) return undefined;
  return /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization)?.[1];
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
