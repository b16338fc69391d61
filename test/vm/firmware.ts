import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Tools } from "./tools.ts";

/** Whose signatures the machine's firmware accepts. */
export interface Enrolment {
  /** Directory with PK.crt, KEK.crt, db.crt (PEM) as a release ships them. */
  readonly keysDir: string;
  /** Further certificates for db (PEM): the test addon's, never a release's. */
  readonly extraDb: readonly string[];
  readonly secureBoot: boolean;
}

const OVMF = "/usr/share/OVMF";
/** Owner of the enrolled keys: any GUID will do, it only has to be the same in every run because PCR 7 covers it. */
export const OWNER_GUID = "5eca1005-5eca-4000-8000-5eca10055eca";

export function firmwareCode(secureBoot: boolean): string {
  return `${OVMF}/OVMF_CODE_4M${secureBoot ? ".secboot" : ""}.fd`;
}

/**
 * Makes the firmware's variable store in user mode, Secure Boot on.
 * @throws VmError HARNESS_TOOL_FAILED
 */
export async function createVariables(tools: Tools, enrolment: Enrolment, path: string): Promise<void> {
  if (!enrolment.secureBoot) return await copyFile(join(tools.root, OVMF, "OVMF_VARS_4M.fd"), path);
  const key = (name: string): string => join(enrolment.keysDir, name);
  const guid = await ownerGuid(enrolment.keysDir);
  await tools.run([
    ...["virt-fw-vars", "--input", `${OVMF}/OVMF_VARS_4M.fd`, "--output", path],
    ...["--set-pk", guid, key("PK.crt"), "--add-kek", guid, key("KEK.crt"), "--add-db", guid, key("db.crt")],
    ...enrolment.extraDb.flatMap((certificate) => ["--add-db", guid, certificate]),
    "--secure-boot",
  ]);
}

/** A keyring names its owner in `guid`; a release directory need not. */
async function ownerGuid(keysDir: string): Promise<string> {
  try {
    return (await readFile(join(keysDir, "guid"), "utf8")).trim();
  } catch {
    return OWNER_GUID;
  }
}
