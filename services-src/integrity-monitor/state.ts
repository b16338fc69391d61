import { sha256 } from "@secai/kit/digest";
import { fingerprintOf, graveCategories, sortViolations, type Violation, violationKey } from "./violation.ts";

/** From best to worst. */
export const integrityStates = ["trusted", "degraded", "recovery_required"] as const;
export type IntegrityState = (typeof integrityStates)[number];

/** Violations that the latch keeps in full. */
export const MAX_KEPT = 50;
/** Different violations that the latch can tell apart; the policy's threshold is far below. */
export const MAX_SEEN = 256;

/** What outlives a restart: how bad it got since the last release of the latch, and what for. */
export interface Latch {
  readonly state: IntegrityState;
  /** RFC 3339, UTC: when the latch fell; null while it has not. For the record only. */
  readonly since: string | null;
  /** What was seen first, at most MAX_KEPT. */
  readonly reasons: readonly Violation[];
  /** First 16 hex digits of the SHA-256 of each different violation's key, at most MAX_SEEN. */
  readonly seen: readonly string[];
  /** Different violations since the latch fell; stops counting at MAX_SEEN. */
  readonly distinct: number;
  /** Of the standing set that was reported last; null once nothing stands. */
  readonly reported: string | null;
  /** Of a set that was noticed and whose report may not be in the outbox yet. */
  readonly unreported: string | null;
}

export const openLatch: Latch = {
  state: "trusted",
  since: null,
  reasons: [],
  seen: [],
  distinct: 0,
  reported: null,
  unreported: null,
};

export function worse(a: IntegrityState, b: IntegrityState): IntegrityState {
  return integrityStates.indexOf(a) >= integrityStates.indexOf(b) ? a : b;
}

/** What these violations alone amount to. `distinct`: how many different ones there were, gone ones included. */
export function judge(violations: readonly Violation[], threshold: number, distinct = violations.length): IntegrityState {
  if (violations.some(({ category }) => graveCategories.has(category)) || distinct >= threshold) return "recovery_required";
  return violations.length > 0 || distinct > 0 ? "degraded" : "trusted";
}

const shortKeys = new WeakMap<Violation, string>();

/** Made once for each violation: what stands is looked at every second. */
function shortKey(one: Violation): string {
  const known = shortKeys.get(one) ?? sha256(violationKey(one)).slice(0, 16);
  shortKeys.set(one, known);
  return known;
}

/**
 * The latch after a look at the machine. It only ever gets worse: what was put right again stays in `reasons`, and repeated small
 * tampering adds up to the threshold although no two faults stood at the same time.
 * @param noticed what stands, and what was seen to have been done and undone
 */
export function latchAfter(
  latch: Latch,
  standing: readonly Violation[],
  noticed: readonly Violation[],
  threshold: number,
  now: string,
): Latch {
  const all = sortViolations([...standing, ...noticed]);
  const known = new Set(latch.seen);
  const fresh = all.filter((one) => !known.has(shortKey(one)));
  const seen = [...latch.seen, ...fresh.map(shortKey)].slice(0, MAX_SEEN);
  const distinct = Math.min(MAX_SEEN, latch.distinct + fresh.length);
  const state = worse(latch.state, judge(all, threshold, distinct));
  const fingerprint = all.length === 0 ? null : fingerprintOf(all);
  return {
    state,
    since: state === "trusted" ? null : (latch.since ?? now),
    reasons: [...latch.reasons, ...fresh].slice(0, MAX_KEPT),
    seen,
    distinct,
    // A set that went away and comes back is a new event.
    reported: fingerprint === null ? null : latch.reported,
    unreported: fingerprint !== null && fingerprint !== latch.reported ? fingerprint : latch.unreported,
  };
}

/** The report of that set is in the outbox. */
export function latchReported(latch: Latch, fingerprint: string): Latch {
  return { ...latch, reported: fingerprint, unreported: latch.unreported === fingerprint ? null : latch.unreported };
}
