// secure-ai-vault-broker.service, started once at boot and when something lies among the vault requests: works them off, says how the
// vault is, and ends.
import { CodedError } from "@secai/kit/errors";
import { createLog, errorFields } from "@secai/kit/log";
import { systemClock as clock } from "@secai/kit/sources";
import { workOff } from "../broker.ts";
import { exclusively } from "../exclusive.ts";
import { openVaultAudit } from "../record.ts";
import { loadSettings } from "../settings.ts";
import { stateOf } from "../state.ts";
import { writeState } from "../state-file.ts";

const log = createLog("vault-broker");
try {
  const settings = await loadSettings(process.env);
  const done = await exclusively(settings, async () => {
    const audit = await openVaultAudit(process.env, log);
    try {
      const worked = await workOff({ settings, audit, clock, log });
      if (worked === 0) await writeState(settings, await stateOf(settings).catch(() => "error" as const), "seen", clock.nowMs());
      return worked;
    } finally {
      await audit.close();
    }
  });
  log("info", "vault requests worked off", { done });
} catch (error) {
  log("error", "vault broker failed", errorFields(error));
  process.exit(error instanceof CodedError ? error.exit : 70);
}
