import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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
  /** Type of the attestation key. */
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
 * What a TPM derives from its endorsement seed alone: the same key at every call, until somebody clears the TPM. "noda": the key has no
 * password that anybody could guess, so a machine that loses power too often must not lock it.
 */
const ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign";
const KEY_TEMPLATES = { ecc: "ecc256:ecdsa-sha256:null", rsa: "rsa2048:rsassa-sha256:null" } as const;
/** NV indexes of endorsement certificates, by key type (TCG EK Credential Profile, 2.2.1.4). */
const CERTIFICATE_INDEXES = { ecc: "0x01c0000a", rsa: "0x01c00002" } as const;

/** Runs in a private folder that is gone afterwards. */
function inScratch<T>(access: TpmAccess, work: (folder: string) => T): T {
  const folder = mkdtempSync(join(access.scratch, "secai-evidence-"));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Endorsement {
  readonly algorithm: keyof typeof CERTIFICATE_INDEXES;
  readonly certificate: Uint8Array | undefined;
}

function certificateAt(access: TpmAccess, folder: string, index: string): Uint8Array | undefined {
  try {
    run(access, folder, "tpm2_nvread", ["-Q", "-o", "ek.crt", index]);
  } catch (error) {
    if (error instanceof RuntimeError && error.code === "TPM_COMMAND_FAILED") return undefined;
    throw error;
  }
  return readSmall(join(folder, "ek.crt"));
}

/** The endorsement key that the TPM's maker certified, of whichever type that is; an ECC one when there is no certificate at all. */
function findEndorsement(access: TpmAccess, folder: string): Endorsement {
  for (const algorithm of ["ecc", "rsa"] as const) {
    const certificate = certificateAt(access, folder, CERTIFICATE_INDEXES[algorithm]);
    if (certificate !== undefined) return { algorithm, certificate };
  }
  return { algorithm: "ecc", certificate: undefined };
}

/**
 * Makes ek.ctx, ek.pub, ak.ctx and ak.pub. The attestation key is a primary key of the endorsement hierarchy: derived, not stored, so that
 * a machine can be enrolled by it, and loaded again to prove where it lies.
 */
function loadKeys(access: TpmAccess, folder: string): Endorsement {
  const endorsement = findEndorsement(access, folder);
  run(access, folder, "tpm2_createek", ["-c", "ek.ctx", "-G", endorsement.algorithm, "-u", "ek.pub"]);
  const template = ["-G", KEY_TEMPLATES[access.algorithm], "-g", "sha256", "-a", ATTRIBUTES];
  run(access, folder, "tpm2_createprimary", ["-Q", "-C", "e", ...template, "-c", "ak.ctx"]);
  run(access, folder, "tpm2_readpublic", ["-Q", "-c", "ak.ctx", "-o", "ak.pub"]);
  return endorsement;
}

/**
 * Quotes with this machine's attestation key. Private parts never leave the TPM.
 * @throws RuntimeError TPM_COMMAND_FAILED
 */
export function quoteTpm(nonce: string, access: TpmAccess): NonNullable<Evidence["quote"]> {
  return inScratch(access, (folder) => {
    const { certificate } = loadKeys(access, folder);
    const quote = ["-Q", "-c", "ak.ctx", "-l", `sha256:${QUOTED_PCRS.join(",")}`, "-q", nonce, "-g", "sha256", "-F", "values"];
    run(access, folder, "tpm2_quote", [...quote, "-m", "message", "-s", "signature", "-o", "pcrs"]);
    return {
      message: readSmall(join(folder, "message")),
      signature: readSmall(join(folder, "signature")),
      attestationKey: readSmall(join(folder, "ak.pub")),
      pcrs: splitValues(readSmall(join(folder, "pcrs"))),
      endorsementKey: readSmall(join(folder, "ek.pub")),
      ...(certificate === undefined ? {} : { endorsementCertificate: certificate }),
    };
  });
}

/** File format of tpm2_activatecredential: a magic number and a version before the two structures. */
const CREDENTIAL_HEADER = Buffer.from("badcc0de00000001", "hex");

/**
 * What is inside a credential that was made for this machine's endorsement and attestation keys.
 * @throws RuntimeError TPM_COMMAND_FAILED for one that was made for others
 */
export function activateCredential(credential: Uint8Array, access: TpmAccess): Uint8Array {
  return inScratch(access, (folder) => {
    loadKeys(access, folder);
    writeFileSync(join(folder, "credential"), Buffer.concat([CREDENTIAL_HEADER, credential]));
    // The endorsement key's policy asks for the endorsement hierarchy's authorization (TCG EK Credential Profile, B.6.2).
    run(access, folder, "tpm2_startauthsession", ["-Q", "--policy-session", "-S", "session.ctx"]);
    run(access, folder, "tpm2_policysecret", ["-Q", "-S", "session.ctx", "-c", "e"]);
    const keys = ["-c", "ak.ctx", "-C", "ek.ctx", "-P", "session:session.ctx"];
    run(access, folder, "tpm2_activatecredential", ["-Q", ...keys, "-i", "credential", "-o", "secret"]);
    run(access, folder, "tpm2_flushcontext", ["session.ctx"]);
    return readSmall(join(folder, "secret"));
  });
}
