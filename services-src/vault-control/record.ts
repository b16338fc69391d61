import { type AuditLog, openAudit } from "@secai/kit/audit";
import type { Environment } from "@secai/kit/config";
import { errorFields, type Log } from "@secai/kit/log";
import { systemClock as clock } from "@secai/kit/sources";
import { loadAuditSettings } from "./settings.ts";

/**
 * The chain of what was done to the vault. One that cannot be opened (tampered with, no key, no space) must not keep the vault open: every
 * record is then refused with the reason, and what needs a record is not done.
 */
export async function openVaultAudit(environment: Environment, log: Log): Promise<Pick<AuditLog, "append" | "close">> {
  try {
    return await openAudit({ ...(await loadAuditSettings(environment)), clock });
  } catch (error) {
    log("error", "no record of what is done to the vault", errorFields(error));
    return { append: () => Promise.reject(error), close: () => Promise.resolve() };
  }
}
