export interface RateLimit {
  readonly perMinute: number;
  readonly burst: number;
}

export interface RateLimiter {
  /** Takes one token; false when none is left. `nowMs` is monotonic. */
  take(nowMs: number): boolean;
}

/** Token bucket: starts full with `burst` tokens and refills at `perMinute`. */
export function createRateLimiter({ perMinute, burst }: RateLimit): RateLimiter {
  let tokens = burst;
  let lastMs: number | undefined;
  return {
    take(nowMs) {
      tokens = Math.min(burst, tokens + ((nowMs - (lastMs ?? nowMs)) * perMinute) / 60_000);
      lastMs = nowMs;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
