import {
  assuranceModes,
  attestationStates,
  refreshRequest,
  SignedState,
  signedState,
  verifyAnswer,
} from "@secai/kit/api/attestation";
import { Count, closed, Digest, Instant, Line, oneOf } from "@secai/kit/api/common";
import type { Endpoint } from "@secai/kit/route";
import { shape } from "@secai/kit/schema";
import { Type } from "@sinclair/typebox";

const StateWord = oneOf(attestationStates);
const healthAnswer = shape("liveness", Type.Object({ status: Type.Literal("ok"), state: StateWord }, closed));
const readyAnswer = shape("readiness", Type.Object({ status: Type.Literal("ready") }, closed));

const Fault = Type.Object({ at: Instant, state: StateWord, codes: Type.Array(Type.String({ maxLength: 64 })) }, closed);
const securityStatus = shape(
  "security status",
  Type.Object(
    {
      attestation_state: StateWord,
      assurance_mode: oneOf(assuranceModes),
      evidence_verified: Type.Boolean(),
      tpm_available: Type.Boolean(),
      tpm_quote_verified: Type.Boolean(),
      secure_boot: Type.Boolean(),
      deployment_verified: Type.Boolean(),
      release_baseline_verified: Type.Boolean(),
      release_version: Line(64),
      policy_digest: Digest,
      deployment_digest: Type.String({ pattern: "^sha256:[0-9a-f]{64}$" }),
      service_count: Count,
      failure_count: Count,
      failures: SignedState.properties.bundle.properties.failures,
      last_attested: Type.Union([Type.Null(), Instant]),
      /** The last attestation that was none; it stays when the machine is attested again. */
      last_fault: Type.Union([Type.Null(), Fault]),
      attest_count: Count,
      degrade_count: Count,
      fail_count: Count,
      /** The public key of the bundles, PEM. */
      signing_key: Type.String(),
    },
    closed,
  ),
);

const legacyAnswer = shape(
  "attestation in the earlier form",
  Type.Object({ state: StateWord, bundle: Type.Record(Type.String(), Type.Unknown()) }, closed),
);

/** Everything the service answers. */
export const endpoints = {
  health: {
    method: "GET",
    path: "/health",
    summary: "The process answers; what the last attestation found.",
    access: "open",
    response: healthAnswer,
  },
  ready: {
    method: "GET",
    path: "/ready",
    summary: "Attestations can be recorded, and the last one is not too old.",
    access: "open",
    response: readyAnswer,
    errors: { AUDIT_UNAVAILABLE: 503 },
  },
  attest: {
    method: "GET",
    path: "/api/v1/attest",
    summary: "The last attestation, signed.",
    access: ["attest"],
    response: signedState,
  },
  legacy: {
    method: "GET",
    path: "/api/v1/attest/legacy",
    summary: "The last attestation in the earlier, keyed form.",
    access: ["attest"],
    response: legacyAnswer,
    errors: { LEGACY_DISABLED: 404 },
  },
  verify: {
    method: "GET",
    path: "/api/v1/verify",
    summary: "May this machine work? 200 if so, 503 with the same body if not.",
    access: ["attest"],
    response: verifyAnswer,
  },
  status: {
    method: "GET",
    path: "/api/security/status",
    summary: "The last attestation in short, and counts since the machine was installed.",
    access: ["attest"],
    response: securityStatus,
  },
  refresh: {
    method: "POST",
    path: "/api/v1/refresh",
    summary: "Attests now, with a quote for exactly this nonce.",
    access: ["attest"],
    request: refreshRequest,
    response: signedState,
    errors: { AUDIT_UNAVAILABLE: 503, REFRESH_RATE_LIMITED: 429 },
  },
  metrics: { method: "GET", path: "/metrics", summary: "Prometheus metrics.", access: ["attest"] },
} as const satisfies Readonly<Record<string, Endpoint>>;
