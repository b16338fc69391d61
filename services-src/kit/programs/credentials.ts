import { CodedError } from "@secai/formats/errors";
import { credentialNames, publicName, signingKeys } from "../credential-names.ts";
import { ensureCredential, ensurePublicKey, kernelBlockDevices, requireLuks, requirePrivateDirectory } from "../credentials.ts";
import { createLog, errorFields } from "../log.ts";

const DIRECTORY = "/var/lib/secure-ai/credentials";

const log = createLog("credentials");
try {
  await requirePrivateDirectory(DIRECTORY);
  await requireLuks(DIRECTORY, kernelBlockDevices);
  // LoadCredential= of the units hands each to the services it is for.
  for (const name of credentialNames) log("info", "credential", { name, state: await ensureCredential(DIRECTORY, name) });
  for (const name of signingKeys)
    log("info", "public key", { name: publicName(name), state: await ensurePublicKey(DIRECTORY, name, publicName(name)) });
} catch (error) {
  log("error", "credentials refused", errorFields(error));
  process.exit(error instanceof CodedError ? error.exit : 70);
}
