import { CodedError } from "@secai/formats/errors";
import { ensureCredential, kernelBlockDevices, requireLuks, requirePrivateDirectory } from "../credentials.ts";
import { createLog, errorFields } from "../log.ts";

const DIRECTORY = "/var/lib/secure-ai/credentials";
/** One file a capability; LoadCredential= of the units hands each to the one service it is for. */
const NAMES = ["policy-engine.token", "policy-engine-audit-hmac.key"] as const;

const log = createLog("credentials");
try {
  await requirePrivateDirectory(DIRECTORY);
  await requireLuks(DIRECTORY, kernelBlockDevices);
  for (const name of NAMES) log("info", "credential", { name, state: await ensureCredential(DIRECTORY, name) });
} catch (error) {
  log("error", "credentials refused", errorFields(error));
  process.exit(error instanceof CodedError ? error.exit : 70);
}
