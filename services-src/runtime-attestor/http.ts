import type { SignedState } from "@secai/kit/api/attestation";
import type { AuditLog } from "@secai/kit/audit";
import { errorReply } from "@secai/kit/http";
import type { Metrics } from "@secai/kit/metrics";
import { type Exchange, type Reply, type Route, route } from "@secai/kit/route";
import type { Signer } from "@secai/kit/signing";
import { endpoints } from "./api.ts";
import type { Attestor } from "./attestor.ts";
import { AttestorError, attestorErrors } from "./errors.ts";
import { toLegacy } from "./legacy-hmac.ts";

export interface RouteParts {
  readonly attestor: Attestor;
  readonly audit: Pick<AuditLog, "fault">;
  readonly signer: Signer;
  readonly legacyKey: Uint8Array | undefined;
  readonly metrics: Metrics;
}

interface RefreshBody {
  readonly request_nonce?: string;
}

/** The service listens after the first attestation, so there is always one to answer with. */
export function attestorRoutes(parts: RouteParts): readonly Route[] {
  const { attestor, metrics } = parts;
  return [
    route(endpoints.health, async () => ok({ status: "ok", state: attestor.verdict().state })),
    route(endpoints.ready, async (_body, exchange) => readiness(parts, exchange)),
    route(endpoints.attest, async () => ok(current(attestor))),
    route(endpoints.legacy, async (_body, exchange) => legacy(parts, exchange)),
    route(endpoints.verify, async () => {
      const verdict = attestor.verdict();
      return { status: verdict.policy_satisfied ? 200 : 503, json: verdict };
    }),
    route(endpoints.status, async () => ok(securityStatus(parts))),
    route(endpoints.refresh, ({ request_nonce }: RefreshBody, exchange) => refresh(attestor, request_nonce, exchange)),
    route(endpoints.metrics, async () => ({ status: 200, text: metrics.render() })),
  ];
}

function ok(json: unknown): Reply {
  return { status: 200, json };
}

function current(attestor: Attestor): SignedState {
  const signed = attestor.current();
  if (signed === undefined) throw new TypeError("a service that listens before it attested");
  return signed;
}

async function refresh(attestor: Attestor, nonce: string | undefined, exchange: Exchange): Promise<Reply> {
  try {
    return ok(await attestor.refresh(nonce, exchange.signal));
  } catch (error) {
    if (!(error instanceof AttestorError) || error.code !== "REFRESH_RATE_LIMITED") throw error;
    return errorReply(429, error.code, attestorErrors[error.code].meaning, exchange);
  }
}

function readiness({ audit, attestor }: RouteParts, exchange: Exchange): Reply {
  if (audit.fault() !== undefined) return errorReply(503, "AUDIT_UNAVAILABLE", "Attestations cannot be recorded.", exchange);
  if (!attestor.alive()) return errorReply(503, "HTTP_UNAVAILABLE", "The last attestation is too old.", exchange);
  return ok({ status: "ready" });
}

function legacy({ attestor, legacyKey }: RouteParts, exchange: Exchange): Reply {
  if (legacyKey === undefined) return errorReply(404, "LEGACY_DISABLED", attestorErrors.LEGACY_DISABLED.meaning, exchange);
  const { bundle } = current(attestor);
  return ok({ state: bundle.state, bundle: toLegacy(legacyKey, bundle) });
}

function securityStatus({ attestor, signer }: RouteParts): Record<string, unknown> {
  const { bundle } = current(attestor);
  const { last_fault, attest_count, degrade_count, fail_count } = attestor.memory();
  return {
    attestation_state: bundle.state,
    assurance_mode: bundle.assurance_mode,
    evidence_verified: bundle.evidence_verified,
    tpm_available: bundle.tpm_available,
    tpm_quote_verified: bundle.tpm_quote_verified,
    secure_boot: bundle.boot_measurements.secure_boot_enabled,
    deployment_verified: bundle.deployment_verified,
    release_baseline_verified: bundle.release_baseline_verified,
    release_version: bundle.release_version,
    policy_digest: bundle.policy_digest,
    deployment_digest: bundle.deployment_digest,
    service_count: Object.keys(bundle.service_digests).length,
    failure_count: bundle.failures.length,
    failures: bundle.failures,
    last_attested: bundle.state === "attested" ? bundle.timestamp : null,
    last_fault,
    attest_count,
    degrade_count,
    fail_count,
    signing_key: signer.publicKey(),
  };
}
