import { createHmac } from "node:crypto";
import type { StateBundle } from "@secai/kit/api/attestation";

/** The bundle as earlier systems had it. Values of PCRs begin with "0x" there. */
export interface LegacyBundle {
  readonly timestamp: string;
  readonly state: string;
  readonly assurance_mode: string;
  readonly evidence_verified: boolean;
  readonly request_nonce: string;
  readonly boot_measurements: {
    readonly secure_boot_enabled: boolean;
    readonly pcr_values?: Readonly<Record<string, string>>;
    readonly measured_at: string;
  };
  readonly deployment_digest: string;
  readonly deployment_verified: boolean;
  readonly release_source_commit: string;
  readonly release_baseline_verified: boolean;
  readonly service_digests: Readonly<Record<string, string>>;
  readonly policy_digest: string;
  readonly registry_manifest_hash: string;
  readonly kernel_cmdline: string;
  readonly kernel_lockdown: string;
  readonly tpm_available: boolean;
  readonly tpm_measurements_verified: boolean;
  readonly tpm_quote_verified: boolean;
  readonly tpm_ak_public_key_sha256: string;
  readonly tpm_quote_pcr_selection: string;
  readonly failures?: readonly string[];
  readonly bundle_hmac: string;
}

/** HMAC-SHA256 over the bundle without its MAC: keys sorted at every level, compact, and the characters escaped that Go's encoder escapes. */
export function legacyMac(key: Uint8Array, bundle: LegacyBundle): string {
  const text = JSON.stringify(sorted({ ...bundle, bundle_hmac: "" }));
  const escaped = text.replaceAll(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return createHmac("sha256", key).update(escaped).digest("hex");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([name, member]) => [name, sorted(member)]));
}

/** The same attestation in the earlier form, authenticated. There is no source commit in ours: a sealed root is known by its hash. */
export function toLegacy(key: Uint8Array, bundle: StateBundle): LegacyBundle {
  const { boot_measurements: boot, failures } = bundle;
  const pcrs = Object.entries(boot.pcr_values).map(([index, value]) => [index, `0x${value}`]);
  const legacy: LegacyBundle = {
    timestamp: bundle.timestamp,
    state: bundle.state,
    assurance_mode: bundle.assurance_mode,
    evidence_verified: bundle.evidence_verified,
    request_nonce: bundle.request_nonce,
    boot_measurements: {
      secure_boot_enabled: boot.secure_boot_enabled,
      ...(pcrs.length === 0 ? {} : { pcr_values: Object.fromEntries(pcrs) as Record<string, string> }),
      measured_at: boot.measured_at,
    },
    deployment_digest: bundle.deployment_digest,
    deployment_verified: bundle.deployment_verified,
    release_source_commit: "",
    release_baseline_verified: bundle.release_baseline_verified,
    service_digests: bundle.service_digests,
    policy_digest: bundle.policy_digest,
    registry_manifest_hash: bundle.registry_manifest_hash,
    kernel_cmdline: bundle.kernel_cmdline,
    kernel_lockdown: bundle.kernel_lockdown,
    tpm_available: bundle.tpm_available,
    tpm_measurements_verified: bundle.tpm_measurements_verified,
    tpm_quote_verified: bundle.tpm_quote_verified,
    tpm_ak_public_key_sha256: bundle.tpm_ak_fingerprint,
    tpm_quote_pcr_selection: bundle.tpm_quote_pcr_selection,
    ...(failures.length === 0 ? {} : { failures: failures.map(({ check, code }) => `${check}: ${code}`) }),
    bundle_hmac: "",
  };
  return { ...legacy, bundle_hmac: legacyMac(key, legacy) };
}
