import { CodedError } from "@secai/formats/errors";
import { importBytes, readVerifiedBundle } from "../bundle.ts";
import { createLog, errorFields } from "../log.ts";

/** Sealed with the root file system; written by the build. No flag or variable names another. */
const MANIFEST = "/usr/lib/secure-ai/services.json";

/** `secai-run.mjs NAME`: starts the service NAME if its bundle is the one that was built. */
const [name = "", ...rest] = process.argv.slice(2);
const log = createLog("secai-run");
if (name === "" || rest.length > 0) {
  log("error", "usage: secai-run.mjs NAME");
  process.exit(2);
}
try {
  await importBytes(name, await readVerifiedBundle(MANIFEST, name));
} catch (error) {
  log("error", "service refused", { name, ...errorFields(error) });
  process.exit(error instanceof CodedError ? error.exit : 70);
}
