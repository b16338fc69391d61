import { createHmac } from "node:crypto";
import { type SignedState, STATE_BUNDLE_DOMAIN, type StateBundle } from "@secai/kit/api/attestation";
import { type Signer, signedBytes } from "@secai/kit/signing";
import type { Judgement } from "./core.ts";
import { toFailures } from "./finding.ts";
import type { Seen } from "./machine.ts";

/** Stands for a digest that is not known. */
export const NO_DIGEST = "0".repeat(64);
const MAX_LINE = 4096;
const line = (text: string, maxChars: number): string => text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ").slice(0, maxChars);

/** @param timestamp RFC 3339, milliseconds. Pure. */
export function buildBundle(seen: Seen, judgement: Judgement, timestamp: string): StateBundle {
  const { evidence, software } = seen;
  const { quote } = judgement;
  return {
    schema: 2,
    timestamp,
    state: judgement.state,
    assurance_mode: judgement.mode,
    evidence_verified: judgement.evidenceVerified,
    request_nonce: seen.nonce,
    boot_measurements: {
      secure_boot_enabled: evidence?.secureBoot === "enabled",
      pcr_values: Object.fromEntries([...(evidence?.quote?.pcrs ?? [])].map(([index, value]) => [String(index), value])),
      measured_at: timestamp,
      tpm_clock:
        quote === undefined
          ? null
          : {
              clock_ms: Number(quote.clockMs),
              reset_count: quote.resetCount,
              restart_count: quote.restartCount,
              safe: quote.clockSafe,
            },
    },
    deployment_digest: `sha256:${evidence?.root.hash ?? NO_DIGEST}`,
    deployment_verified: judgement.deploymentVerified,
    release_version: evidence?.release.imageVersion ?? "",
    release_baseline_verified: judgement.baselineVerified,
    service_digests: { ...software.services },
    policy_digest: software.policyDigest,
    registry_manifest_hash: seen.registryManifestHash,
    gpu_verdict: line(seen.gpuVerdict, 64),
    kernel_cmdline: line(evidence?.commandLine ?? "", MAX_LINE),
    kernel_lockdown: line(seen.lockdown, 64),
    tpm_available: evidence?.quote !== undefined,
    tpm_measurements_verified: judgement.measurementsVerified,
    tpm_quote_verified: judgement.quoteVerified,
    tpm_ak_fingerprint: judgement.attestationKey,
    tpm_quote_pcr_selection: quote === undefined ? "" : `sha256:${quote.pcrs.join(",")}`,
    failures: toFailures(judgement.findings),
  };
}

/** @param legacyKey with it the answer also carries a MAC over the very bytes that are signed */
export function signBundle(bundle: StateBundle, signer: Signer, legacyKey: Uint8Array | undefined): SignedState {
  const value = signer.sign(STATE_BUNDLE_DOMAIN, bundle);
  const mac = (key: Uint8Array) => createHmac("sha256", key).update(signedBytes(STATE_BUNDLE_DOMAIN, bundle)).digest("hex");
  return {
    bundle,
    signature: { algorithm: "ed25519", key_id: signer.keyId, value },
    ...(legacyKey === undefined ? {} : { hmac: mac(legacyKey) }),
  };
}
