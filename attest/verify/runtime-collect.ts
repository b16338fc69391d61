import { existsSync } from "node:fs";
import { collectBoot } from "./runtime-collect-boot.ts";
import { verityStatus } from "./runtime-collect-extensions.ts";
import { collectState } from "./runtime-collect-state.ts";
import type { Evidence } from "./runtime-evidence.ts";
import { readWhole } from "./runtime-files.ts";
import { MACHINE_TPM, quoteTpm, type TpmAccess } from "./runtime-tpm.ts";

/** Name that veritysetup-generator gives the device below the root file system. */
const VERITY_DEVICE = "root";
const MAX_MOUNTS_BYTES = 1024 * 1024;

function rootState(): Evidence["root"] {
  const mounts = readWhole("/proc/self/mounts", MAX_MOUNTS_BYTES).toString("utf8");
  const options = (/^\S+ \/ \S+ (\S+)/m.exec(mounts)?.[1] ?? "").split(",");
  return { ...verityStatus(VERITY_DEVICE), readOnly: options.includes("ro") };
}

/**
 * Gathers the evidence of the machine this runs on. Needs root. Without a TPM there is no quote, which no verifier accepts.
 * @throws RuntimeError TPM_COMMAND_FAILED, STATE_COMMAND_FAILED, EVIDENCE_TOO_LARGE; FormatError for a service manifest that is none
 */
export async function collectEvidence(nonce: string, tpm: TpmAccess = MACHINE_TPM): Promise<Evidence> {
  return {
    nonce,
    quote: existsSync("/dev/tpmrm0") ? await quoteTpm(nonce, tpm) : undefined,
    ...collectBoot(),
    root: rootState(),
    running: collectState(tpm.scratch),
  };
}
