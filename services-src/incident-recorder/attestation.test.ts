import { strict as assert } from "node:assert";
import { createPublicKey, randomBytes } from "node:crypto";
import { STATE_BUNDLE_DOMAIN, type StateBundle } from "@secai/kit/api/attestation";
import type { JsonValue } from "@secai/kit/digest";
import { createSigner } from "@secai/kit/signing";
import { test } from "vitest";
import { requireFresh, requireGenuine, requireTrusted } from "./attestation.ts";

const signer = createSigner(randomBytes(32).toString("hex"));
const key = createPublicKey(signer.publicKey());
const nonce = "1".repeat(64);
const at = Date.UTC(2026, 0, 1);
const bundle: StateBundle = {
  schema: 2,
  timestamp: new Date(at).toISOString(),
  state: "attested",
  assurance_mode: "hardware",
  evidence_verified: true,
  request_nonce: nonce,
  boot_measurements: { secure_boot_enabled: true, pcr_values: {}, measured_at: new Date(at).toISOString(), tpm_clock: null },
  deployment_digest: `sha256:${nonce}`,
  deployment_verified: true,
  release_version: "1",
  release_baseline_verified: true,
  service_digests: {},
  policy_digest: nonce,
  registry_manifest_hash: "unavailable",
  gpu_verdict: "",
  kernel_cmdline: "",
  kernel_lockdown: "",
  tpm_available: true,
  tpm_measurements_verified: true,
  tpm_quote_verified: true,
  tpm_ak_fingerprint: nonce,
  tpm_quote_pcr_selection: "",
  failures: [],
};
const refused = { code: "RECOVERY_REFUSED" };
const sign = (value: StateBundle, by = signer, domain = STATE_BUNDLE_DOMAIN) => ({
  bundle: value,
  signature: { algorithm: "ed25519" as const, key_id: by.keyId, value: by.sign(domain, value as unknown as JsonValue) },
});

test("a state that somebody else signed, or that was changed, is none", () => {
  requireGenuine(sign(bundle), key);
  const other = createSigner(randomBytes(32).toString("hex"));
  assert.throws(() => requireGenuine(sign(bundle, other), key), refused);
  assert.throws(
    () => requireGenuine({ ...sign(bundle, other), signature: { ...sign(bundle, other).signature, key_id: signer.keyId } }, key),
    refused,
  );
  assert.throws(() => requireGenuine({ ...sign(bundle), bundle: { ...bundle, state: "degraded" } }, key), refused);
  assert.throws(() => requireGenuine(sign(bundle, signer, "SecAI-Forensic-Bundle-v2"), key), refused);
});

test("an answer to another nonce or of another time is none", () => {
  requireFresh(bundle, nonce, at - 10, at + 10);
  assert.throws(() => requireFresh(bundle, "2".repeat(64), at, at), refused);
  assert.throws(() => requireFresh(bundle, nonce, at + 60_000, at + 60_010), refused);
  assert.throws(() => requireFresh(bundle, nonce, at - 60_010, at - 60_000), refused);
  assert.throws(() => requireFresh({ ...bundle, timestamp: "2026-13-01T00:00:00Z" }, nonce, at, at), refused);
});

const untrusted: readonly Partial<StateBundle>[] = [
  { state: "pending" },
  { state: "degraded" },
  { state: "failed" },
  { failures: [{ check: "x", code: "X_Y", expected: "", actual: "" }] },
  { evidence_verified: false },
  { deployment_verified: false },
  { release_baseline_verified: false },
  { tpm_measurements_verified: false },
  { tpm_quote_verified: false },
  { tpm_ak_fingerprint: "" },
  { boot_measurements: { ...bundle.boot_measurements, secure_boot_enabled: false } },
];
for (const change of untrusted) {
  test(`an attestation with ${JSON.stringify(change).slice(0, 60)} recovers nothing`, () => {
    assert.throws(() => requireTrusted({ ...bundle, ...change }, false), refused);
  });
}

test("an evaluation is enough until the machine has once given more", () => {
  assert.equal(requireTrusted(bundle, true), "hardware");
  const evaluation: StateBundle = { ...bundle, assurance_mode: "evaluation", tpm_quote_verified: false, tpm_ak_fingerprint: "" };
  assert.equal(requireTrusted(evaluation, false), "evaluation");
  assert.throws(() => requireTrusted(evaluation, true), refused);
});
