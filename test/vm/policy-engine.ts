import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type AuditReport, verifyAudit } from "../../services-src/kit/audit-verify.ts";
import type { Bench } from "./bench.ts";
import { VmError } from "./errors.ts";
import { type HttpResponse, http } from "./guest.ts";
import type { Machine } from "./machine.ts";

export const POLICY_ENGINE_PORT = 8500;
export const POLICY_ENGINE_UNIT = "secure-ai-policy-engine.service";
const STATE = "/var/lib/secure-ai";
export const AUDIT_LOG = `${STATE}/policy-engine/policy-engine-audit.jsonl`;
export const AUDIT_ANCHOR = `${STATE}/policy-engine-anchor/policy-engine-audit.head`;
export const TOKEN = `${STATE}/credentials/policy-engine.token`;
export const AUDIT_KEY = `${STATE}/credentials/policy-engine-audit-hmac.key`;

export interface Decision {
  readonly decision: string;
  readonly reason: string;
  readonly evidence: { readonly rule_id: string; readonly policy_digest: string; readonly domain: string };
}

export async function readToken(machine: Machine): Promise<string> {
  return (await machine.succeeds(`cat ${TOKEN}`)).trim();
}

/** Asks for a decision with the right token. */
export async function decide(machine: Machine, token: string, request: unknown): Promise<HttpResponse> {
  return await http(machine, POLICY_ENGINE_PORT, {
    method: "POST",
    path: "/api/v1/decide",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: typeof request === "string" ? request : JSON.stringify(request),
  });
}

export function decisionOf(response: HttpResponse): Decision {
  if (response.status !== 200)
    throw new VmError("CHECK_FAILED", { expected: "a decision", actual: `${response.status} ${response.body}` });
  return JSON.parse(response.body) as Decision;
}

/** Copies the audit log, its anchor and its key out of the machine and verifies the chain on the host. @throws KitError AUDIT_* */
export async function verifyAuditOutside(bench: Bench, machine: Machine): Promise<AuditReport> {
  const dir = await mkdtemp(join(bench.dir, "audit-"));
  try {
    const key = (await machine.pullFile(AUDIT_KEY)).toString("latin1").trim();
    const copy = async (path: string): Promise<void> => await writeFile(join(dir, basename(path)), await machine.pullFile(path));
    for (const path of (await machine.succeeds(`ls ${AUDIT_LOG}* ${AUDIT_ANCHOR} 2>/dev/null || true`))
      .trim()
      .split("\n")
      .filter(Boolean))
      await copy(path);
    return await verifyAudit(join(dir, basename(AUDIT_LOG)), Buffer.from(key, "hex"), join(dir, basename(AUDIT_ANCHOR)));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
