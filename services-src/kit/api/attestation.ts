import { type Static, Type } from "@sinclair/typebox";
import { shape } from "../schema.ts";
import { Count, closed, Digest, Instant, Line, Name, oneOf } from "./common.ts";

export const attestationStates = ["pending", "attested", "degraded", "failed"] as const;
export type AttestationState = (typeof attestationStates)[number];
/** "hardware": enrolled, with a TPM and Secure Boot. "evaluation": anything less; it may run, it is never verified. */
export const assuranceModes = ["hardware", "evaluation"] as const;
export type AssuranceMode = (typeof assuranceModes)[number];

/** 32 bytes, lower-case hex. */
export const Nonce = Digest;

/** A finding of an attestation: code of the catalogue, expected and actual. */
export const AttestationFailure = Type.Object(
  { check: Name, code: Type.String({ pattern: "^[A-Z][A-Z0-9_]{1,63}$" }), expected: Line(512), actual: Line(512) },
  closed,
);
export type AttestationFailure = Static<typeof AttestationFailure>;

/** What the attestor found, for one nonce. Names and meanings of earlier systems carry over; `schema` 2 adds what they lacked. */
export const StateBundle = Type.Object(
  {
    schema: Type.Literal(2),
    timestamp: Instant,
    state: oneOf(attestationStates),
    assurance_mode: oneOf(assuranceModes),
    evidence_verified: Type.Boolean(),
    request_nonce: Nonce,
    boot_measurements: Type.Object(
      {
        secure_boot_enabled: Type.Boolean(),
        pcr_values: Type.Record(Type.String({ pattern: "^([0-9]|1[0-9]|2[0-3])$" }), Digest, closed),
        measured_at: Instant,
        /** From the quote; null without one. Counters that run backwards are a replaced or cleared TPM. */
        tpm_clock: Type.Union([
          Type.Null(),
          Type.Object({ clock_ms: Count, reset_count: Count, restart_count: Count, safe: Type.Boolean() }, closed),
        ]),
      },
      closed,
    ),
    /** `sha256:` + verity root hash of the running root. */
    deployment_digest: Type.String({ pattern: "^sha256:[0-9a-f]{64}$" }),
    deployment_verified: Type.Boolean(),
    release_version: Line(64),
    release_baseline_verified: Type.Boolean(),
    /** SHA-256 of every service bundle that may run, by name. */
    service_digests: Type.Record(Type.String({ pattern: "^[a-z0-9][a-z0-9-]{0,63}$" }), Digest, closed),
    /** SHA-256 over path NUL SHA-256 NUL of each policy file, in order. */
    policy_digest: Digest,
    registry_manifest_hash: Type.Union([Digest, Type.Literal("unavailable")]),
    gpu_verdict: Line(64),
    kernel_cmdline: Line(4096),
    kernel_lockdown: Line(64),
    tpm_available: Type.Boolean(),
    tpm_measurements_verified: Type.Boolean(),
    tpm_quote_verified: Type.Boolean(),
    /** Fingerprint of the attestation key as `secai verify` prints it; "" without a TPM. */
    tpm_ak_fingerprint: Type.String({ pattern: "^([0-9a-f]{64})?$" }),
    tpm_quote_pcr_selection: Line(128),
    failures: Type.Array(AttestationFailure, { maxItems: 256 }),
  },
  closed,
);
export type StateBundle = Static<typeof StateBundle>;

/**
 * The bundle, signed: Ed25519 over `SecAI-State-Bundle-v2` NUL and the RFC 8785 form of the bundle. Whoever receives it holds the public key
 * only. `hmac`: HMAC-SHA256 over the same bytes, for receivers of the earlier form; absent unless its key is configured.
 */
export const SignedState = Type.Object(
  {
    bundle: StateBundle,
    signature: Type.Object(
      { algorithm: Type.Literal("ed25519"), key_id: Digest, value: Type.String({ pattern: "^[A-Za-z0-9+/]{85}[AQgw]==$" }) },
      closed,
    ),
    hmac: Type.Optional(Digest),
  },
  closed,
);
export type SignedState = Static<typeof SignedState>;
export const signedState = shape("signed attestation state", SignedState);
export const STATE_BUNDLE_DOMAIN = "SecAI-State-Bundle-v2";

/** POST /api/v1/refresh. */
export const RefreshRequest = Type.Object({ request_nonce: Type.Optional(Nonce) }, closed);
export const refreshRequest = shape("refresh request", RefreshRequest);

/** GET /api/v1/verify: 200 if `policy_satisfied`, else 503 with the same body. */
export const VerifyAnswer = Type.Object(
  {
    verified: Type.Boolean(),
    policy_satisfied: Type.Boolean(),
    state: oneOf(attestationStates),
    assurance_mode: oneOf(assuranceModes),
    evidence_verified: Type.Boolean(),
  },
  closed,
);
export type VerifyAnswer = Static<typeof VerifyAnswer>;
export const verifyAnswer = shape("attestation verdict", VerifyAnswer);
