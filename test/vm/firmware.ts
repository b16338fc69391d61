import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { Tools } from "./tools.ts";

/** Whose signatures the machine's firmware accepts. */
export interface Enrolment {
  /** Directory with PK.crt, KEK.crt, db.crt (PEM) as a release ships them. */
  readonly keysDir: string;
  /** Owner that the keys are enrolled for. */
  readonly ownerGuid: string;
  /** Further certificates for db (PEM): the test addon's, never a release's. */
  readonly extraDb: readonly string[];
  readonly secureBoot: boolean;
}

/**
 * Makes the firmware's variable store in user mode, Secure Boot on.
 * @throws VmError HARNESS_TOOL_FAILED
 */
export async function createVariables(tools: Tools, enrolment: Enrolment, path: string): Promise<void> {
  const { firmwareVariables } = tools.platform;
  if (!enrolment.secureBoot) return await copyFile(join(tools.root, firmwareVariables), path);
  const key = (name: string): string => join(enrolment.keysDir, name);
  const guid = enrolment.ownerGuid;
  await tools.run([
    ...["virt-fw-vars", "--input", firmwareVariables, "--output", path],
    ...["--set-pk", guid, key("PK.crt"), "--add-kek", guid, key("KEK.crt"), "--add-db", guid, key("db.crt")],
    ...enrolment.extraDb.flatMap((certificate) => ["--add-db", guid, certificate]),
    "--secure-boot",
  ]);
}
