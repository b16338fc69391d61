import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type SignedState, STATE_BUNDLE_DOMAIN, type StateBundle, signedState } from "@secai/kit/api/attestation";
import { createSigner, type Signer } from "@secai/kit/signing";

const digest = "0".repeat(64);

/** What an attestor says of a machine without a TPM that is otherwise as it should be. */
export function evaluationBundle(nonce: string, more: Partial<StateBundle> = {}): StateBundle {
  const now = new Date().toISOString();
  return {
    schema: 2,
    timestamp: now,
    state: "attested",
    assurance_mode: "evaluation",
    evidence_verified: false,
    request_nonce: nonce,
    boot_measurements: { secure_boot_enabled: false, pcr_values: {}, measured_at: now, tpm_clock: null },
    deployment_digest: `sha256:${digest}`,
    deployment_verified: true,
    release_version: "1.0.0",
    release_baseline_verified: true,
    service_digests: {},
    policy_digest: digest,
    registry_manifest_hash: "unavailable",
    gpu_verdict: "no device",
    kernel_cmdline: "",
    kernel_lockdown: "integrity",
    tpm_available: false,
    tpm_measurements_verified: false,
    tpm_quote_verified: false,
    tpm_ak_fingerprint: "",
    tpm_quote_pcr_selection: "",
    failures: [],
    ...more,
  };
}

export const hardware: Partial<StateBundle> = {
  assurance_mode: "hardware",
  evidence_verified: true,
  tpm_available: true,
  tpm_measurements_verified: true,
  tpm_quote_verified: true,
  tpm_ak_fingerprint: "a".repeat(64),
};

export function signState(signer: Signer, bundle: StateBundle): SignedState {
  const value = signer.sign(STATE_BUNDLE_DOMAIN, JSON.parse(JSON.stringify(bundle)));
  return { bundle, signature: { algorithm: "ed25519", key_id: signer.keyId, value } };
}

export interface FakeAttestor {
  readonly port: number;
  readonly publicKey: string;
  readonly nonces: readonly string[];
  /** What the next answers are made of: the bundle, signed with the real key unless another is given; null: 500. */
  say(make: ((nonce: string) => StateBundle | SignedState) | null): void;
  readonly signer: Signer;
  close(): Promise<void>;
}

/** Signs with a throwaway key what a test wants an attestor to say. */
export async function startAttestor(): Promise<FakeAttestor> {
  const signer = createSigner(randomBytes(32).toString("hex"));
  const nonces: string[] = [];
  let make: ((nonce: string) => StateBundle | SignedState) | null = (nonce) => evaluationBundle(nonce);
  const server: Server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { request_nonce: nonce } = JSON.parse(text) as { request_nonce: string };
    nonces.push(nonce);
    const made = make?.(nonce);
    const signed = made === undefined || "signature" in made ? made : signState(signer, made);
    const status = signed === undefined ? 500 : 200;
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(signed ?? { code: "X", message: "x", requestId: "x" }));
    if (signed !== undefined && !signedState.is(signed)) throw new Error("the test's own bundle has no valid shape");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    publicKey: signer.publicKey(),
    nonces,
    say(next) {
      make = next;
    },
    signer,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
