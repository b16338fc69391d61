import { type Static, Type } from "@sinclair/typebox";
import { shape } from "../schema.ts";
import { closed, Digest, Line, oneOf, Path } from "./common.ts";

/** INC-…, also the name of a file: no separators. */
export const IncidentId = Type.String({ pattern: "^[A-Za-z0-9_.-]{1,128}$" });
const Reason = Line(256);

/** agent: POST /api/v1/freeze. It stays frozen until every incident that froze it is released. */
export const FreezeRequest = Type.Object({ action: Type.Literal("freeze"), incident_id: IncidentId, reason: Reason }, closed);
export const freezeRequest = shape("freeze request", FreezeRequest);

/** airlock: POST /api/v1/disable. */
export const DisableRequest = Type.Object({ action: Type.Literal("disable"), incident_id: IncidentId, reason: Reason }, closed);
export const disableRequest = shape("disable request", DisableRequest);

/** registry: POST /api/v1/quarantine. */
export const QuarantineRequest = Type.Object(
  { action: Type.Literal("quarantine"), incident_id: IncidentId, reason: Reason, model_path: Path, model_name: Line(255) },
  closed,
);
export const quarantineRequest = shape("quarantine request", QuarantineRequest);

/**
 * agent, airlock and registry: POST /api/v1/release, once the recovery ceremony of that incident is complete. `binding` is the
 * requirement's containment binding; a target opens again only when no incident holds it any more.
 */
export const ReleaseRequest = Type.Object({ action: Type.Literal("release"), incident_id: IncidentId, binding: Digest }, closed);
export const releaseRequest = shape("release request", ReleaseRequest);

/** What each of the above answers with status 200. `held_by`: the incidents that still hold the target, this one included. */
export const ContainmentAnswer = Type.Object(
  { status: oneOf(["held", "released"]), incident_id: IncidentId, held_by: Type.Array(IncidentId, { maxItems: 1024 }) },
  closed,
);
export type ContainmentAnswer = Static<typeof ContainmentAnswer>;
export const containmentAnswer = shape("containment answer", ContainmentAnswer);

/** `<requests>/<incident_id>.json`, at most 4 KiB. "release" lifts the latch that keeps the vault from being opened again. */
export const VaultRequest = Type.Object(
  { action: oneOf(["relock", "release"]), incident_id: IncidentId, reason: Reason },
  closed,
);
export type VaultRequest = Static<typeof VaultRequest>;
export const vaultRequest = shape("vault request", VaultRequest);

/** `<results>/<incident_id>.json`. */
export const VaultResult = Type.Object(
  { success: Type.Boolean(), incident_id: IncidentId, error: Type.Optional(Line(1024)) },
  closed,
);
export type VaultResult = Static<typeof VaultResult>;
export const vaultResult = shape("vault result", VaultResult);

export const VAULT_REQUESTS = "/run/secure-ai/vault-control/requests";
export const VAULT_RESULTS = "/run/secure-ai/vault-control/results";
export const MAX_VAULT_REQUEST_BYTES = 4096;
