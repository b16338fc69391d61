import { execFile } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
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

/** Does not block: a service that quotes must answer others meanwhile. @throws RuntimeError TPM_COMMAND_FAILED */
async function run(access: TpmAccess, folder: string, command: string, args: readonly string[]): Promise<void> {
  const options = {
    cwd: folder,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", TPM2TOOLS_TCTI: access.tcti },
    timeout: COMMAND_LIMIT_MS,
    killSignal: "SIGKILL",
    maxBuffer: MAX_OUTPUT_BYTES,
    encoding: "utf8",
  } as const;
  await new Promise<void>((resolve, reject) => {
    const child = execFile(command, [...args], options, (error, _stdout, stderr) => {
      if (error === null) return resolve();
      const reason = stderr.trim().split("\n").at(-1) || error.message;
      const actual = `${error.code ?? error.signal}: ${reason}`;
      reject(new RuntimeError("TPM_COMMAND_FAILED", { expected: `${command} to end with 0`, actual }));
    });
    child.stdin?.end();
  });
  if (!access.managed && command !== "tpm2_flushcontext") await run(access, folder, "tpm2_flushcontext", ["-t"]);
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
async function inScratch<T>(access: TpmAccess, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(access.scratch, "secai-evidence-"));
  try {
    // Whoever was ended between two commands left an object behind, and a TPM has room for three.
    if (!access.managed) await run(access, folder, "tpm2_flushcontext", ["-t"]);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Endorsement {
  readonly algorithm: keyof typeof CERTIFICATE_INDEXES;
  readonly certificate: Uint8Array | undefined;
}

async function certificateAt(access: TpmAccess, folder: string, index: string): Promise<Uint8Array | undefined> {
  try {
    await run(access, folder, "tpm2_nvread", ["-Q", "-o", "ek.crt", index]);
  } catch (error) {
    if (error instanceof RuntimeError && error.code === "TPM_COMMAND_FAILED") return undefined;
    throw error;
  }
  return readSmall(join(folder, "ek.crt"));
}

/** The endorsement key that the TPM's maker certified, of whichever type that is; an ECC one when there is no certificate at all. */
async function findEndorsement(access: TpmAccess, folder: string): Promise<Endorsement> {
  for (const algorithm of ["ecc", "rsa"] as const) {
    const certificate = await certificateAt(access, folder, CERTIFICATE_INDEXES[algorithm]);
    if (certificate !== undefined) return { algorithm, certificate };
  }
  return { algorithm: "ecc", certificate: undefined };
}

/** Makes ek.ctx and ek.pub. */
async function loadEndorsementKey(access: TpmAccess, folder: string): Promise<Endorsement> {
  const endorsement = await findEndorsement(access, folder);
  await run(access, folder, "tpm2_createek", ["-c", "ek.ctx", "-G", endorsement.algorithm, "-u", "ek.pub"]);
  return endorsement;
}

/**
 * Makes ak.ctx and ak.pub. The attestation key is a primary key of the endorsement hierarchy: derived, not stored, so that a machine can be
 * enrolled by it, and loaded again to prove where it lies.
 */
async function loadAttestationKey(access: TpmAccess, folder: string): Promise<void> {
  const template = ["-G", KEY_TEMPLATES[access.algorithm], "-g", "sha256", "-a", ATTRIBUTES];
  await run(access, folder, "tpm2_createprimary", ["-Q", "-C", "e", ...template, "-c", "ak.ctx", "-f", "tss", "-o", "ak.pub"]);
}

type EvidenceQuote = NonNullable<Evidence["quote"]>;

async function quoteWith(access: TpmAccess, folder: string, nonce: string): Promise<EvidenceQuote> {
  const quote = ["-Q", "-c", "ak.ctx", "-l", `sha256:${QUOTED_PCRS.join(",")}`, "-q", nonce, "-g", "sha256", "-F", "values"];
  await run(access, folder, "tpm2_quote", [...quote, "-m", "message", "-s", "signature", "-o", "pcrs"]);
  return {
    message: readSmall(join(folder, "message")),
    signature: readSmall(join(folder, "signature")),
    attestationKey: readSmall(join(folder, "ak.pub")),
    pcrs: splitValues(readSmall(join(folder, "pcrs"))),
  };
}

/**
 * Quotes with this machine's attestation key. Private parts never leave the TPM.
 * @throws RuntimeError TPM_COMMAND_FAILED
 */
export function quoteTpm(nonce: string, access: TpmAccess): Promise<EvidenceQuote> {
  return inScratch(access, async (folder) => {
    const { certificate } = await loadEndorsementKey(access, folder);
    await loadAttestationKey(access, folder);
    return {
      ...(await quoteWith(access, folder, nonce)),
      endorsementKey: readSmall(join(folder, "ek.pub")),
      ...(certificate === undefined ? {} : { endorsementCertificate: certificate }),
    };
  });
}

/**
 * The same without the endorsement key, which takes a TPM seconds to make: for whoever knows the attestation key from enrolment.
 * @throws RuntimeError TPM_COMMAND_FAILED
 */
export function quoteEnrolled(nonce: string, access: TpmAccess): Promise<EvidenceQuote> {
  return inScratch(access, async (folder) => {
    await loadAttestationKey(access, folder);
    return quoteWith(access, folder, nonce);
  });
}

/** File format of tpm2_activatecredential: a magic number and a version before the two structures. */
const CREDENTIAL_HEADER = Buffer.from("badcc0de00000001", "hex");

/**
 * What is inside a credential that was made for this machine's endorsement and attestation keys.
 * @throws RuntimeError TPM_COMMAND_FAILED for one that was made for others
 */
export function activateCredential(credential: Uint8Array, access: TpmAccess): Promise<Uint8Array> {
  return inScratch(access, async (folder) => {
    await loadEndorsementKey(access, folder);
    await loadAttestationKey(access, folder);
    await writeFile(join(folder, "credential"), Buffer.concat([CREDENTIAL_HEADER, credential]));
    // The endorsement key's policy asks for the endorsement hierarchy's authorization (TCG EK Credential Profile, B.6.2).
    await run(access, folder, "tpm2_startauthsession", ["-Q", "--policy-session", "-S", "session.ctx"]);
    await run(access, folder, "tpm2_policysecret", ["-Q", "-S", "session.ctx", "-c", "e"]);
    const keys = ["-c", "ak.ctx", "-C", "ek.ctx", "-P", "session:session.ctx"];
    await run(access, folder, "tpm2_activatecredential", ["-Q", ...keys, "-i", "credential", "-o", "secret"]);
    await run(access, folder, "tpm2_flushcontext", ["session.ctx"]);
    return readSmall(join(folder, "secret"));
  });
}
