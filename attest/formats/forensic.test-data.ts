import { createHash, type KeyObject, sign } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";
import { FORENSIC_DOMAIN, type ForensicBundle } from "./forensic.ts";

// A small bundle as the incident recorder exports it, signed with a key of the test.

export const pemOf = (key: KeyObject): string => key.export({ format: "pem", type: "spki" }).toString();
const digit = (character: string): string => character.repeat(64);
const at = "2026-01-01T00:00:00.000Z";

export const exampleIncident: ForensicBundle["incidents"][number] = {
  id: "INC-20260101-000000-0001",
  created_at: at,
  class: "integrity_violation",
  severity: "critical",
  state: "contained",
  source: "integrity-monitor",
  description: "a file changed",
  evidence: { path: "/etc/x", sizes: [1, 2], more: { a: null } },
  fingerprint: digit("1"),
  count: 2,
  last_seen_at: at,
  latched: true,
  escalated: false,
  containment_actions: ["freeze_agent"],
  containment_results: [
    { action: "freeze_agent", success: false, error: "TARGET_ABSENT: no socket", attempts: 1, completed_at: at },
  ],
  hash: digit("2"),
};

export const auditRecord = (seq: number, prev: string, mac: string): string =>
  JSON.stringify({ data: {}, mac, prev, seq, time: at, type: "started" });

export const exampleForensic: Omit<ForensicBundle, "signature"> = {
  schema: 2,
  exported_at: at,
  incidents: [exampleIncident],
  audit_entries: [auditRecord(4, digit("3"), digit("4")), auditRecord(5, digit("4"), digit("5"))],
  audit_head: { seq: 5, mac: digit("5") },
  store_head: { seq: 1, mac: digit("6") },
  system_state: { export_time: at, service: "incident-recorder", total_incidents: 1, open_incidents: 1 },
  policy_digest: digit("7"),
};

/** `content`, whatever it is, with a signature by `privateKey` that names `publicKey`. */
export function signForensic(
  content: object,
  { privateKey, publicKey }: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  domain: string = FORENSIC_DOMAIN,
): ForensicBundle {
  const spki = publicKey.export({ format: "der", type: "spki" });
  const value = sign(null, Buffer.from(`${domain}\0${canonicalJson(content)}`), privateKey).toString("base64");
  const signature = { algorithm: "ed25519", key_id: createHash("sha256").update(spki).digest("hex"), value } as const;
  return { ...(content as typeof exampleForensic), signature };
}
