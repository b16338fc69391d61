import { closed, Line, Name, oneOf, Path } from "@secai/kit/api/common";
import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";

const Share = Type.Number({ minimum: 0, maximum: 1 });
const Weight = Type.Number({ exclusiveMinimum: 0, maximum: 10 });
const common = { name: Name, enabled: Type.Boolean(), weight: Type.Optional(Weight) };

/** What each kind of probe can be told; the defaults stand in probes.ts. */
const probe = <T extends string>(type: T, settings: Parameters<typeof Type.Object>[0] = {}) =>
  Type.Object({ ...common, type: Type.Literal(type), settings: Type.Optional(Type.Object(settings, closed)) }, closed);

const TensorHash = Type.Object(
  {
    ...common,
    type: Type.Literal("tensor_hash"),
    settings: Type.Optional(
      /** Every how many checks a file is read again although the kernel says that it did not change. */
      Type.Object({ full_read_every: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })) }, closed),
    ),
  },
  closed,
);
const Sentinel = Type.Object(
  {
    ...common,
    type: Type.Literal("sentinel_inference"),
    settings: Type.Optional(Type.Object({ threshold: Type.Optional(Share) }, closed)),
  },
  closed,
);
const Drift = Type.Object(
  {
    ...common,
    type: Type.Literal("reference_drift"),
    settings: Type.Optional(Type.Object({ iterations: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })) }, closed)),
  },
  closed,
);
const Ecc = Type.Object(
  {
    ...common,
    type: Type.Literal("ecc_status"),
    settings: Type.Optional(
      Type.Object({ max_corrected: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000_000 })) }, closed),
    ),
  },
  closed,
);
const Thermal = Type.Object(
  {
    ...common,
    type: Type.Literal("thermal"),
    settings: Type.Optional(Type.Object({ max_celsius: Type.Optional(Type.Integer({ minimum: 30, maximum: 150 })) }, closed)),
  },
  closed,
);

export const probeTypes = [
  "tensor_hash",
  "sentinel_inference",
  "reference_drift",
  "ecc_status",
  "thermal",
  "memory_counters",
  "driver_fingerprint",
  "device_allowlist",
] as const;
export type ProbeType = (typeof probeTypes)[number];

/** A kind nobody knows here is no mistake of the file's form, but its probe errs on every check: it is never left out silently. */
const Unknown = Type.Object(
  { ...common, type: Type.String({ pattern: `^(?!(${probeTypes.join("|")})$)[a-z][a-z0-9_]{0,63}$` }) },
  closed,
);

export const triggers = ["warning", "critical"] as const;
export type Trigger = (typeof triggers)[number];
export const actionTypes = ["alert", "reload_requested", "quarantine", "none"] as const;
export type ActionType = (typeof actionTypes)[number];

export const Profile = Type.Object(
  {
    version: Type.Literal(2),
    model_dir: Path,
    /** 127.0.0.1:PORT or unix:/PATH of the inference runtime. */
    inference: Line(128),
    interval_seconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
    max_history: Type.Integer({ minimum: 10, maximum: 1000 }),
    /** Questions whose answers a baseline holds. */
    sentinels: Type.Array(Type.Object({ name: Name, input: Type.String({ minLength: 1, maxLength: 4096 }) }, closed), {
      maxItems: 32,
    }),
    probes: Type.Array(
      Type.Union([
        TensorHash,
        Sentinel,
        Drift,
        Ecc,
        Thermal,
        probe("memory_counters"),
        probe("driver_fingerprint"),
        probe("device_allowlist"),
        Unknown,
      ]),
      { minItems: 1, maxItems: 32 },
    ),
    actions: Type.Array(Type.Object({ name: Name, type: oneOf(actionTypes), trigger: oneOf(triggers) }, closed), {
      maxItems: 16,
    }),
  },
  closed,
);
export type Profile = Static<typeof Profile>;
export type ProbeEntry = Profile["probes"][number];
export const profileShape = shape("GPU integrity profile", Profile);
