import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type AuditReport, verifyAudit } from "../../services-src/kit/audit-verify.ts";
import type { Bench } from "./bench.ts";
import { VmError } from "./errors.ts";
import { type HttpResponse, http } from "./guest.ts";
import type { Machine } from "./machine.ts";

export const POLICY_ENGINE_PORT = 8500;
export const POLICY_ENGINE_UNIT = "secure-ai-policy-engine.service";
export const AUDIT_LOG = "/var/lib/secure-ai/logs/policy-engine-audit.jsonl";

export interface Decision {
  readonly decision: string;
  readonly reason: string;
  readonly evidence: { readonly rule_id: string; readonly policy_digest: string; readonly domain: string };
}

/** Where the unit takes a credential from, by a part of its name. @throws VmError CHECK_FAILED */
export async function credentialPath(machine: Machine, part: RegExp): Promise<string> {
  const lines = (
    await machine.succeeds(
      `systemctl show -P LoadCredential ${POLICY_ENGINE_UNIT}; systemctl cat ${POLICY_ENGINE_UNIT} | sed -n 's/^LoadCredential=//p'`,
    )
  ).split("\n");
  const path = lines
    .map((line) => /^([^:]+):(\/\S+)/.exec(line.trim()))
    .find((match) => match !== null && part.test(match[1] ?? ""))?.[2];
  if (path === undefined)
    throw new VmError("CHECK_FAILED", {
      expected: `a credential like ${part} of ${POLICY_ENGINE_UNIT}`,
      actual: lines.join(" "),
    });
  return path;
}

export async function readToken(machine: Machine): Promise<string> {
  return (await machine.succeeds(`cat ${await credentialPath(machine, /token/)}`)).trim();
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
    const key = await machine.pullFile(await credentialPath(machine, /audit/));
    const anchor = (await machine.succeeds(`find /var/lib/secure-ai -name 'policy-engine-audit*.head' | head -1`)).trim();
    const names = (await machine.succeeds(`ls ${AUDIT_LOG}* 2>/dev/null || true`))
      .trim()
      .split("\n")
      .filter((name) => name !== "" && name !== anchor);
    for (const name of names) await writeFile(join(dir, name.split("/").at(-1) ?? ""), await machine.pullFile(name));
    if (anchor !== "") await writeFile(join(dir, "anchor"), await machine.pullFile(anchor));
    return await verifyAudit(join(dir, AUDIT_LOG.split("/").at(-1) ?? ""), auditKey(key), join(dir, "anchor"));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** A credential is 64 lower-case hex digits and perhaps a newline; the key is the 32 bytes they stand for. */
function auditKey(credential: Buffer): Buffer {
  return Buffer.from(credential.toString("latin1").trim(), "hex");
}
