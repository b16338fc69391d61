import type { StateBundle } from "@secai/kit/api/attestation";
import { canonicalJson, sha256 } from "@secai/kit/digest";
import type { Report } from "@secai/kit/reporting";

const MAX_NAMED = 10;

/** The same for the same standing fault, "" for none: what is wrong, not what it measured this time. */
export function reportKey({ state, failures }: StateBundle): string {
  if (state !== "degraded" && state !== "failed") return "";
  const names = [...new Set(failures.map(({ check, code }) => `${check} ${code}`))].sort();
  return sha256(canonicalJson({ state, names }));
}

/** For the incident recorder. */
export function incidentOf(bundle: StateBundle, fingerprint: string): Report {
  const { state, failures } = bundle;
  const first = failures.slice(0, MAX_NAMED).map(({ check, code }) => `${check} ${code}`);
  return {
    class: "attestation_failure",
    severity: state === "failed" ? "critical" : "high",
    description: `attestation ${state}: ${first.join(", ")}`,
    fingerprint,
    observed_at: bundle.timestamp,
    evidence: {
      state,
      assurance_mode: bundle.assurance_mode,
      request_nonce: bundle.request_nonce,
      bundle_sha256: sha256(canonicalJson(bundle)),
      failure_count: failures.length,
      failures: failures.map(({ check, code, expected, actual }) => ({ check, code, expected, actual })),
      tpm_available: bundle.tpm_available,
      tpm_quote_verified: bundle.tpm_quote_verified,
      tpm_measurements_verified: bundle.tpm_measurements_verified,
      secure_boot: bundle.boot_measurements.secure_boot_enabled,
      deployment_digest: bundle.deployment_digest,
      policy_digest: bundle.policy_digest,
      tpm_ak_fingerprint: bundle.tpm_ak_fingerprint,
    },
  };
}
