import type { ProbeStatus } from "@secai/kit/api/gpu-integrity";

export interface Finding {
  readonly description: string;
  readonly severity: "info" | "warning" | "critical";
  /** What it is about: a model, a module, a device node. */
  readonly item?: string;
}

/** What a probe found. `score`: 0 as it should be, 1 as bad as can be; of no meaning for "skip". */
export interface Outcome {
  readonly status: ProbeStatus;
  readonly score: number;
  readonly findings: readonly Finding[];
  /** Models that are not as they should be, the worst first, as paths below the folder of models. */
  readonly models?: readonly string[];
}

export interface ProbeResult extends Outcome {
  readonly name: string;
  readonly type: string;
  readonly weight: number;
  /** RFC 3339, UTC, milliseconds. */
  readonly timestamp: string;
  readonly duration_ms: number;
}

const MAX_DESCRIPTION_CHARS = 512;
/** Findings of a probe that are told one by one. */
const MAX_FINDINGS = 64;

/** Names come from disks and drivers: one printable line each. */
export const printable = (text: string): string => text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, "?").slice(0, MAX_DESCRIPTION_CHARS);

export function finding(severity: Finding["severity"], description: string, item?: string): Finding {
  return { severity, description: printable(description), ...(item === undefined ? {} : { item: printable(item) }) };
}

export const pass = (...findings: Finding[]): Outcome => ({ status: "pass", score: 0, findings });
export const skip = (why: string): Outcome => ({ status: "skip", score: 0, findings: [finding("info", why)] });
export const errorOutcome = (score: number, why: string): Outcome => ({
  status: "error",
  score,
  findings: [finding("warning", why)],
});

/** @param score clipped to 0…1 */
export function outcome(
  status: "drift" | "fail",
  score: number,
  findings: readonly Finding[],
  models?: readonly string[],
): Outcome {
  return {
    status,
    score: Math.min(1, Math.max(0, score)),
    findings: findings.slice(0, MAX_FINDINGS),
    ...(models === undefined ? {} : { models: models.slice(0, MAX_FINDINGS) }),
  };
}
