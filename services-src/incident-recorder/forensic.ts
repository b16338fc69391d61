import type { Incident } from "@secai/kit/api/incidents";
import type { Link } from "@secai/kit/audit-chain";
import { canonicalJson, type JsonValue } from "@secai/kit/digest";
import type { Signer } from "@secai/kit/signing";
import { RecorderError } from "./errors.ts";

export const FORENSIC_DOMAIN = "SecAI-Forensic-Bundle-v2";
export const MAX_FORENSIC_BYTES = 64 << 20;

export interface ForensicFacts {
  /** RFC 3339, UTC, milliseconds. */
  readonly exportedAt: string;
  readonly incidents: readonly Incident[];
  readonly openIncidents: number;
  /** Raw lines of the audit log, the last of which is `auditHead`. */
  readonly auditEntries: readonly string[];
  readonly auditHead: Link;
  readonly storeHead: Link;
  readonly policyDigest: string;
}

/**
 * The bundle that `secai verify` reads offline: everything but `signature` is signed, Ed25519 over the domain, NUL and its RFC 8785 form.
 * @throws RecorderError FORENSIC_TOO_LARGE
 */
export function buildForensic(facts: ForensicFacts, signer: Signer): { readonly [key: string]: JsonValue } {
  const payload = {
    schema: 2,
    exported_at: facts.exportedAt,
    incidents: facts.incidents as unknown as JsonValue,
    audit_entries: facts.auditEntries,
    audit_head: { ...facts.auditHead },
    store_head: { ...facts.storeHead },
    system_state: {
      export_time: facts.exportedAt,
      service: "incident-recorder",
      total_incidents: facts.incidents.length,
      open_incidents: facts.openIncidents,
    },
    policy_digest: facts.policyDigest,
  };
  const bytes = Buffer.byteLength(canonicalJson(payload));
  if (bytes > MAX_FORENSIC_BYTES - 1024)
    throw new RecorderError("FORENSIC_TOO_LARGE", { expected: `at most ${MAX_FORENSIC_BYTES} bytes`, actual: `${bytes}` });
  return { ...payload, signature: { algorithm: "ed25519", key_id: signer.keyId, value: signer.sign(FORENSIC_DOMAIN, payload) } };
}
