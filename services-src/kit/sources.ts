import { randomUUID } from "node:crypto";

/** Where a service gets its time. Tests replace it. */
export interface Clock {
  /** Wall clock, milliseconds since 1970: for records only, never for limits (it can be set). */
  nowMs(): number;
  /** Monotonic, milliseconds with a fraction: for durations and rate limits. */
  monotonicMs(): number;
}

/** Where a service gets names that nobody used before. Tests replace it. */
export interface Ids {
  next(): string;
}

export const systemClock: Clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };
export const systemIds: Ids = { next: () => randomUUID() };

/** RFC 3339, UTC, whole seconds: the timestamp of wire formats. */
export function rfc3339Seconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
