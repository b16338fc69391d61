import { type KeyObject, randomBytes } from "node:crypto";
import { type SignedState, STATE_BUNDLE_DOMAIN, type StateBundle, signedState } from "@secai/kit/api/attestation";
import { ask, type Peer } from "@secai/kit/client";
import { ClientError } from "@secai/kit/client-errors";
import { canonicalJson, type JsonValue, sha256 } from "@secai/kit/digest";
import { isSignedBy, keyIdOf } from "@secai/kit/signing";
import type { Clock } from "@secai/kit/sources";
import { RecorderError } from "./errors.ts";
import type { AcceptedState } from "./recovery.ts";

/** Less than a request of ours may take. */
const ATTESTOR_LIMIT_MS = 9_000;
/** How far the attestor's clock reading may lie outside of our own two; both read the same clock, which may be set in between. */
const MAX_CLOCK_SKEW_MS = 5_000;

export interface Attestor {
  /**
   * A fresh attestation of this machine, signed, for a nonce of ours.
   * @throws RecorderError ATTESTOR_UNAVAILABLE, RECOVERY_REFUSED (forged, stale, or not attested)
   */
  attest(parts: { readonly requireHardware: boolean; readonly signal?: AbortSignal }): Promise<AcceptedState>;
}

export function createAttestor(peer: Peer, publicKey: KeyObject, clock: Clock): Attestor {
  return {
    async attest({ requireHardware, signal }) {
      const nonce = randomBytes(32).toString("hex");
      const askedMs = clock.nowMs();
      const state = await fetchState(peer, nonce, signal);
      requireGenuine(state, publicKey);
      requireFresh(state.bundle, nonce, askedMs, clock.nowMs());
      return { assurance: requireTrusted(state.bundle, requireHardware), evidence: sha256(canonicalJson(state)) };
    },
  };
}

async function fetchState(peer: Peer, nonce: string, signal: AbortSignal | undefined): Promise<SignedState> {
  try {
    return await ask(peer, {
      method: "POST",
      path: "/api/v1/refresh",
      body: { request_nonce: nonce },
      response: signedState,
      statuses: [200, 503],
      timeoutMs: ATTESTOR_LIMIT_MS,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    if (!(cause instanceof ClientError)) throw cause;
    const { expected = "-", actual = "-" } = cause;
    throw new RecorderError("ATTESTOR_UNAVAILABLE", { expected, actual: `${cause.code}: ${actual}`, cause });
  }
}

/** @throws RecorderError RECOVERY_REFUSED */
export function requireGenuine({ bundle, signature }: SignedState, key: KeyObject): void {
  if (signature.key_id !== keyIdOf(key)) refuse("a state signed by this machine's attestor", `key ${signature.key_id}`);
  if (!isSignedBy(key, STATE_BUNDLE_DOMAIN, bundle as unknown as JsonValue, signature.value))
    refuse("a genuine signature", "another");
}

/** The nonce is the proof; the time must only not contradict it. @throws RecorderError RECOVERY_REFUSED */
export function requireFresh(bundle: StateBundle, nonce: string, askedMs: number, nowMs: number): void {
  if (bundle.request_nonce !== nonce) refuse("an answer to our nonce", "one to another");
  const at = Date.parse(bundle.timestamp);
  if (!(at >= askedMs - MAX_CLOCK_SKEW_MS && at <= nowMs + MAX_CLOCK_SKEW_MS)) refuse("a state of now", bundle.timestamp);
}

/** @throws RecorderError RECOVERY_REFUSED */
export function requireTrusted(bundle: StateBundle, requireHardware: boolean): AcceptedState["assurance"] {
  const [failure] = bundle.failures;
  if (bundle.state !== "attested")
    refuse("an attested machine", failure === undefined ? bundle.state : `${bundle.state}: ${failure.code}`);
  if (failure !== undefined) refuse("no finding", failure.code);
  if (bundle.assurance_mode === "hardware") return requireHardwareProof(bundle);
  if (requireHardware) refuse("an attestation by hardware, as this machine has given before", "an evaluation without it");
  return "evaluation";
}

function requireHardwareProof(bundle: StateBundle): "hardware" {
  const proofs = {
    evidence_verified: bundle.evidence_verified,
    deployment_verified: bundle.deployment_verified,
    release_baseline_verified: bundle.release_baseline_verified,
    secure_boot_enabled: bundle.boot_measurements.secure_boot_enabled,
    tpm_measurements_verified: bundle.tpm_measurements_verified,
    tpm_quote_verified: bundle.tpm_quote_verified,
    tpm_ak_fingerprint: bundle.tpm_ak_fingerprint !== "",
  };
  const missing = Object.entries(proofs).find(([, isThere]) => !isThere);
  if (missing !== undefined) refuse(`${missing[0]} in an attestation by hardware`, "none");
  return "hardware";
}

function refuse(expected: string, actual: string): never {
  throw new RecorderError("RECOVERY_REFUSED", { expected, actual });
}
