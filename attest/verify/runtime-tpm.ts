import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";
import { RuntimeError } from "./runtime-errors.ts";
import type { Evidence } from "./runtime-evidence.ts";

/** Longest one TPM command may take, in ms: discrete TPMs need seconds to make a key. */
const COMMAND_LIMIT_MS = 30_000;
const MAX_OUTPUT_BYTES = 256 * 1024;
/** All static PCRs but 10, which a kernel with IMA extends all the time. */
export const QUOTED_PCRS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15] as const;
const PCR_BYTES = 32;

/** How to reach a TPM. */
export interface TpmAccess {
  /** For tpm2-tools, e.g. "device:/dev/tpmrm0". */
  readonly tcti: string;
  /** Whether a resource manager frees transient objects after each command; /dev/tpmrm0 is one. */
  readonly managed: boolean;
  /** Folder for a private temporary folder, in memory. */
  readonly scratch: string;
  /** Key types to make, in order of preference; a TPM may lack one. */
  readonly algorithm: "ecc" | "rsa";
}

export const MACHINE_TPM: TpmAccess = { tcti: "device:/dev/tpmrm0", managed: true, scratch: "/run", algorithm: "ecc" };

/** @throws RuntimeError TPM_COMMAND_FAILED */
function run(access: TpmAccess, folder: string, command: string, args: readonly string[]): void {
  const result = spawnSync(command, [...args], {
    cwd: folder,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", TPM2TOOLS_TCTI: access.tcti },
    timeout: COMMAND_LIMIT_MS,
    killSignal: "SIGKILL",
    maxBuffer: MAX_OUTPUT_BYTES,
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
  });
  if (result.error !== undefined || result.status !== 0) {
    const reason = result.error?.message ?? result.stderr.trim().split("\n").at(-1) ?? "";
    throw new RuntimeError("TPM_COMMAND_FAILED", { expected: `${command} to end with 0`, actual: `${result.status}: ${reason}` });
  }
  if (!access.managed && command !== "tpm2_flushcontext") run(access, folder, "tpm2_flushcontext", ["-t"]);
}

function readSmall(path: string): Buffer {
  if (statSync(path).size > MAX_OUTPUT_BYTES) {
    throw new RuntimeError("TPM_COMMAND_FAILED", { expected: `at most ${MAX_OUTPUT_BYTES} bytes`, actual: path });
  }
  return readFileSync(path);
}

/** `tpm2_quote -F values` writes the plain values, ascending by index. */
function splitValues(bytes: Buffer): ReadonlyMap<number, Sha256> {
  if (bytes.length !== QUOTED_PCRS.length * PCR_BYTES) {
    throw new RuntimeError("TPM_COMMAND_FAILED", {
      expected: `${QUOTED_PCRS.length} PCR values`,
      actual: `${bytes.length} bytes`,
    });
  }
  return new Map(QUOTED_PCRS.map((index, at) => [index, bytes.toString("hex", at * PCR_BYTES, (at + 1) * PCR_BYTES) as Sha256]));
}

/**
 * Makes an endorsement key and an attestation key, and quotes with the latter. Both keys are derived or made afresh and nothing of them is
 * kept: private parts never leave the TPM unencrypted.
 * @throws RuntimeError TPM_COMMAND_FAILED
 */
export function quoteTpm(nonce: string, access: TpmAccess): NonNullable<Evidence["quote"]> {
  const folder = mkdtempSync(join(access.scratch, "secai-evidence-"));
  try {
    const scheme = access.algorithm === "ecc" ? "ecdsa" : "rsassa";
    run(access, folder, "tpm2_createek", ["-c", "ek.ctx", "-G", access.algorithm, "-u", "ek.pub"]);
    const key = [
      "-C",
      "ek.ctx",
      "-c",
      "ak.ctx",
      "-G",
      access.algorithm,
      "-g",
      "sha256",
      "-s",
      scheme,
      "-u",
      "ak.pub",
      "-n",
      "ak.name",
    ];
    run(access, folder, "tpm2_createak", key);
    const quote = ["-c", "ak.ctx", "-l", `sha256:${QUOTED_PCRS.join(",")}`, "-q", nonce, "-g", "sha256", "-F", "values"];
    run(access, folder, "tpm2_quote", [...quote, "-m", "message", "-s", "signature", "-o", "pcrs"]);
    return {
      message: readSmall(join(folder, "message")),
      signature: readSmall(join(folder, "signature")),
      attestationKey: readSmall(join(folder, "ak.pub")),
      pcrs: splitValues(readSmall(join(folder, "pcrs"))),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
