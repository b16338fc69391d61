import type { Quote } from "@secai/measure/quote";

/** What a TPM counts for ever, in a quote that was believed (TPMS_CLOCK_INFO: TPM 2.0 Library, Part 2, 10.11.1). */
export interface TpmCounters {
  readonly resetCount: number;
  readonly restartCount: number;
  /** Milliseconds; fits a double for 285 000 years. */
  readonly clockMs: number;
}

export function countersOf({ resetCount, restartCount, clockMs }: Quote): TpmCounters {
  return { resetCount, restartCount, clockMs: Number(clockMs) };
}

/**
 * Whether the TPM is behind where it was: cleared, replaced, or rewound with its state. The clock alone may fall back after a power cut; the
 * TPM says so itself (`clockSafe`), and only then.
 */
export function isBehind({ resetCount, restartCount, clockMs, clockSafe }: Quote, last: TpmCounters): boolean {
  if (resetCount !== last.resetCount) return resetCount < last.resetCount || (clockSafe && clockMs < BigInt(last.clockMs));
  if (restartCount !== last.restartCount) return restartCount < last.restartCount;
  return clockMs < BigInt(last.clockMs);
}
