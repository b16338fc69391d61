import { statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { MAX_STATEMENT_BYTES, MAX_STATEMENTS, STATEMENT_SUFFIX } from "@secai/kit/api/enrolment";
import { gpuAttestState } from "@secai/kit/api/gpu-integrity";
import { ask, type Peer } from "@secai/kit/client";
import { ClientError } from "@secai/kit/client-errors";
import { CodedError } from "@secai/kit/errors";
import { exists, readBounded } from "@secai/kit/files";
import { MAX_PCR_SIGNATURE_BYTES, parsePcrSignatures } from "@secai/measure/pcr-signature";
import { MAX_USERSPACE_LOG_BYTES } from "@secai/measure/userspace-log";
import { derive, type Found } from "@secai/verify/found";
import { collectBoot } from "@secai/verify/runtime-collect-boot";
import type { Evidence } from "@secai/verify/runtime-evidence";
import { digestOf, readWhole } from "@secai/verify/runtime-files";
import { orGone } from "@secai/verify/runtime-procfs";
import { rootFromSysfs } from "@secai/verify/runtime-root";
import { quoteEnrolled } from "@secai/verify/runtime-tpm";
import type { MachinePlaces } from "./config.ts";
import type { Observation } from "./core.ts";
import type { Finding } from "./finding.ts";
import { EVALUATION, MAX_PROFILE_BYTES, type Profile, parseProfile } from "./profile.ts";
import { readSoftware, type Software } from "./software.ts";

const PCR_SIGNATURE = "/run/systemd/tpm2-pcr-signature.json";
const USERSPACE_LOG = "/run/log/systemd/tpm2-measure.log";
const LOCKDOWN = "/sys/kernel/security/lockdown";
const MAX_LOCKDOWN_BYTES = 256;
const GPU_TIMEOUT_MS = 2_000;
/** systemd may measure something while we quote; then the log tells more or less than the quote. */
const QUOTE_TRIES = 3;

const NO_SIGNATURES: Found<never> = { state: "absent", code: "none came with the kernel image", detail: PCR_SIGNATURE };

/** What was seen, apart from what the attestor remembers. */
export type Seen = Omit<Observation, "lastCounters" | "software"> & {
  readonly software: Software;
  readonly registryManifestHash: string;
};

/** Looks at the machine once, with a fresh quote for `nonce`. What cannot be read is a finding. @throws nothing */
export async function observe(places: MachinePlaces, gpuWatch: Peer | undefined, nonce: string): Promise<Seen> {
  const problems: Finding[] = [];
  const noting = <T>(check: string, instead: T, read: () => Promise<T> | T) => noted(problems, check, instead, read);
  return {
    nonce,
    problems,
    profile: await noting("profile.read", EVALUATION, () => readProfile(places.profilePath)),
    statements: await noting("statement.read", [], () => readStatements(places.statementsDirectory)),
    evidence: await noting("attestation.evidence", undefined, () => collect(places, nonce, problems)),
    pcrSignatures: await noting("boot.pcr-signature", NO_SIGNATURES, () => readPcrSignatures(places.root)),
    software: await noting("software.read", { services: {}, policyDigest: "0".repeat(64), findings: [] }, () =>
      readSoftware(places.root),
    ),
    lockdown: await noting("kernel.lockdown", "", () => readLockdown(places.root)),
    gpuVerdict: await askGpu(gpuWatch),
    registryManifestHash: digestOf(places.registryManifestPath) ?? "unavailable",
  };
}

async function noted<T>(problems: Finding[], check: string, instead: T, read: () => Promise<T> | T): Promise<T> {
  try {
    return await read();
  } catch (error) {
    problems.push(findingOfError(check, error));
    return instead;
  }
}

export function findingOfError(check: string, error: unknown): Finding {
  if (error instanceof CodedError) {
    const { code, expected = "-", actual = "-" } = error;
    return { check, code, expected, actual };
  }
  return { check, code: "OBSERVATION_FAILED", expected: "a machine that can be read", actual: String(error) };
}

/** No file is no enrolment. @throws AttestorError PROFILE_MALFORMED; KitError */
async function readProfile(path: string): Promise<Profile> {
  return (await exists(path)) ? parseProfile(await readBounded(path, MAX_PROFILE_BYTES)) : EVALUATION;
}

async function readStatements(directory: string): Promise<readonly Uint8Array[]> {
  if (!(await exists(directory))) return [];
  const names = (await readdir(directory)).filter((name) => name.endsWith(STATEMENT_SUFFIX)).sort();
  if (names.length > MAX_STATEMENTS) throw new RangeError(`${names.length} statements, more than ${MAX_STATEMENTS}`);
  return Promise.all(names.map((name) => readBounded(join(directory, name), MAX_STATEMENT_BYTES)));
}

/** @throws RuntimeError, FormatError, or what the system says */
async function collect(places: MachinePlaces, nonce: string, problems: Finding[]): Promise<Evidence> {
  const quote = await noted(problems, "tpm.quote", undefined, () => settledQuote(places, nonce));
  return { nonce, quote, ...collectBoot(places.root), root: rootFromSysfs(places.root), running: undefined };
}

/** @throws RuntimeError TPM_COMMAND_FAILED */
async function settledQuote({ root, tpm, tpmDevice }: MachinePlaces, nonce: string): Promise<Evidence["quote"]> {
  if (statSync(tpmDevice, { throwIfNoEntry: false }) === undefined) return undefined;
  const log = () => orGone(() => readWhole(join(root, USERSPACE_LOG), MAX_USERSPACE_LOG_BYTES)) ?? Buffer.alloc(0);
  for (let tries = 1; ; tries += 1) {
    const before = log();
    const quote = await quoteEnrolled(nonce, tpm);
    if (tries === QUOTE_TRIES || log().equals(before)) return quote;
  }
}

function readPcrSignatures(root: string): Observation["pcrSignatures"] {
  const bytes = orGone(() => readWhole(join(root, PCR_SIGNATURE), MAX_PCR_SIGNATURE_BYTES));
  return bytes === undefined ? NO_SIGNATURES : derive({ state: "found", value: bytes }, parsePcrSignatures);
}

function readLockdown(root: string): string {
  return (
    orGone(() => readWhole(join(root, LOCKDOWN), MAX_LOCKDOWN_BYTES))
      ?.toString("latin1")
      .trim() ?? ""
  );
}

/** The watch starts after us and may be down: that is its own finding, not one of the boot. */
async function askGpu(peer: Peer | undefined): Promise<string> {
  if (peer === undefined) return "unavailable";
  try {
    const { verdict } = await ask(peer, {
      method: "GET",
      path: "/v1/attest-state",
      response: gpuAttestState,
      timeoutMs: GPU_TIMEOUT_MS,
    });
    return verdict;
  } catch (error) {
    if (error instanceof ClientError) return "unavailable";
    throw error;
  }
}
