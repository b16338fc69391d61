import { type Static, Type } from "@sinclair/typebox";
import { shape } from "../schema.ts";
import { Count, closed, Digest, Instant, Line, Name, oneOf } from "./common.ts";

/** "no_device": there is nothing to watch, which is not the same as healthy. "unknown": no cycle has ended yet. */
export const gpuVerdicts = ["unknown", "no_device", "healthy", "warning", "critical"] as const;
export type GpuVerdict = (typeof gpuVerdicts)[number];
export const probeStatuses = ["pass", "drift", "fail", "skip", "error"] as const;
export type ProbeStatus = (typeof probeStatuses)[number];

const Score = Type.Number({ minimum: 0, maximum: 1 });

/** GET /v1/attest-state, for the runtime attestor. */
export const GpuAttestState = Type.Object(
  {
    timestamp: Instant,
    verdict: oneOf(gpuVerdicts),
    composite_score: Score,
    probe_statuses: Type.Record(Name, oneOf(probeStatuses), closed),
    probe_scores: Type.Record(Name, Score, closed),
    driver_version: Type.Optional(Line(128)),
    device_nodes: Type.Optional(Type.Array(Line(255), { maxItems: 256 })),
    /** Newer-half minus older-half mean of the last ten scores; rising is worse. */
    trend: Type.Number({ minimum: -1, maximum: 1 }),
    cycles: Count,
    /** Of the baseline's signed form; absent while none was captured. */
    baseline_digest: Type.Optional(Digest),
  },
  closed,
);
export type GpuAttestState = Static<typeof GpuAttestState>;
export const gpuAttestState = shape("GPU attest state", GpuAttestState);
