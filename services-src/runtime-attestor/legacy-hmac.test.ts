import { expect, test } from "vitest";
import { type LegacyBundle, legacyMac } from "./legacy-hmac.ts";

const key = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const bytes = (hex: string, count = 32) => hex.repeat(count);

/** Computed by the earlier system. */
const golden: LegacyBundle = {
  timestamp: "2026-07-27T12:34:56.123456789Z",
  state: "attested",
  assurance_mode: "hardware",
  evidence_verified: true,
  request_nonce: bytes("11"),
  boot_measurements: {
    secure_boot_enabled: true,
    pcr_values: { "0": `0x${bytes("22")}`, "7": `0x${bytes("23")}` },
    measured_at: "2026-07-27T12:34:55.999999999Z",
  },
  deployment_digest: `sha256:${bytes("33")}`,
  deployment_verified: true,
  release_source_commit: bytes("44", 20),
  release_baseline_verified: true,
  service_digests: { registry: bytes("55"), "tool-firewall": bytes("56") },
  policy_digest: bytes("66"),
  registry_manifest_hash: bytes("77"),
  kernel_cmdline: "quiet lockdown=confidentiality",
  kernel_lockdown: "[confidentiality] integrity",
  tpm_available: true,
  tpm_measurements_verified: true,
  tpm_quote_verified: true,
  tpm_ak_public_key_sha256: bytes("88"),
  tpm_quote_pcr_selection: "sha256:0,2,4,7",
  failures: ["golden-vector"],
  bundle_hmac: "",
};
const MAC = "2f79b51e951ec69d0de69a6a36893b9c3802734517942b465f782e643865fff5";

test("the MAC is the earlier system's", () => expect(legacyMac(key, golden)).toBe(MAC));
test("the MAC does not cover itself", () => expect(legacyMac(key, { ...golden, bundle_hmac: MAC })).toBe(MAC));
test("every member counts", () => {
  for (const name of Object.keys(golden).filter((name) => name !== "bundle_hmac")) {
    const { [name]: _, ...without } = golden as unknown as Record<string, unknown>;
    expect(legacyMac(key, without as unknown as LegacyBundle), name).not.toBe(MAC);
  }
  expect(legacyMac(key, { ...golden, state: "failed" })).not.toBe(MAC);
  expect(legacyMac(Buffer.alloc(32), golden)).not.toBe(MAC);
});
test("characters that Go escapes are escaped: another text with the same meaning would be another MAC", () => {
  expect(legacyMac(key, { ...golden, kernel_cmdline: "<&>\u2028" })).toMatch(/^[0-9a-f]{64}$/);
  expect(legacyMac(key, { ...golden, kernel_cmdline: "<" })).not.toBe(legacyMac(key, { ...golden, kernel_cmdline: "\\u003c" }));
});
