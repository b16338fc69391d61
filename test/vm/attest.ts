import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { sha256 } from "../../attest/formats/digest.ts";
import { type Prediction, predictPcrs } from "../../attest/measure/predict.ts";
import { parsePublicArea } from "../../attest/measure/public-area.ts";
import { runChecks, type Verdict, verdictOf } from "../../attest/verify/check.ts";
import { requiredChecks, runtimeChecks } from "../../attest/verify/runtime-checks.ts";
import { type Evidence, parseEvidence } from "../../attest/verify/runtime-evidence.ts";
import { runtimeFacts } from "../../attest/verify/runtime-facts.ts";
import { type RuntimePolicy, releasePolicy, type SitePolicy, withSite } from "../../attest/verify/runtime-policy.ts";
import { agentUnitFile } from "./addon.ts";
import type { Bench } from "./bench.ts";
import { VmError } from "./errors.ts";
import type { Machine } from "./machine.ts";
import type { Release } from "./release.ts";

const COLLECTOR = "node /usr/libexec/secure-ai/secai-evidence.mjs --nonce";
const PCRS = "for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo $i $(cat /sys/class/tpm/tpm0/pcr-sha256/$i); done";

/** The SHA-256 bank of the machine's TPM, lower-case hex by index. */
export async function readPcrs(machine: Machine): Promise<ReadonlyMap<number, string>> {
  const lines = (await machine.succeeds(PCRS)).trim().split("\n");
  return new Map(lines.map((line) => line.split(" ")).map(([index, value = ""]) => [Number(index), value.toLowerCase()]));
}

/** What a machine of this bench must measure: the release, the test certificate in db, and the test addon. @throws MeasureError */
export function testPrediction(release: Release, bench: Bench): Prediction {
  const signer = readFileSync(bench.testKey.certificatePath);
  return predictPcrs({
    bootloader: release.read("bootx64.efi"),
    uki: release.read("uki.efi"),
    ownerGuid: bench.ownerGuid,
    PK: release.read("keys/PK.crt"),
    KEK: release.read("keys/KEK.crt"),
    db: [release.read("keys/db.crt"), signer],
    addon: { bytes: readFileSync(bench.media.addonPath), signer },
  });
}

export interface RuntimeQuestion {
  /** "release": what users ask; "test": a site policy that expects the test firmware's keys and the test addon. */
  readonly trust: "release" | "test";
  /** Nonce to check the quote against, when it is not the one that the machine was asked with. */
  readonly checkedNonce?: string;
}

export interface RuntimeAnswer {
  readonly verdict: Verdict;
  /** Codes of failed and undecided checks. */
  readonly failures: readonly string[];
  /** Ids of failed checks, sorted, each once. */
  readonly failed: readonly string[];
  /** One line for each failed or undecided result. */
  readonly findings: readonly string[];
  readonly evidence: Evidence;
}

/** Asks the machine for evidence over a fresh nonce and judges it as `secai verify runtime` does. @throws VmError, FormatError, RuntimeError */
export async function runtimeVerdict(
  release: Release,
  bench: Bench,
  machine: Machine,
  question: RuntimeQuestion,
): Promise<RuntimeAnswer> {
  const nonce = randomBytes(32).toString("hex");
  const { exitCode, stdoutBytes, stderr } = await machine.run(`${COLLECTOR} ${nonce}`, { timeoutMs: 180_000 });
  if (exitCode !== 0) throw new VmError("CHECK_FAILED", { expected: "evidence from the machine", actual: stderr.trim() });
  const policy = await policyFor(release, bench, question.trust);
  return judge(parseEvidence(stdoutBytes), question.checkedNonce ?? nonce, policy);
}

/** Judges evidence that is at hand. */
export function judge(evidence: Evidence, nonce: string, policy: RuntimePolicy): RuntimeAnswer {
  const outcomes = runChecks(runtimeChecks, runtimeFacts(evidence, nonce), policy);
  const open = outcomes.flatMap((outcome) => (outcome.status === "fail" || outcome.status === "undecided" ? [outcome] : []));
  return {
    verdict: verdictOf(outcomes, requiredChecks(policy)),
    failures: open.map(({ code }) => code),
    failed: [...new Set(open.filter(({ status }) => status === "fail").map(({ id }) => id))].sort(),
    findings: open.map(({ id, code, subject }) => [id, code, ...(subject === undefined ? [] : [subject])].join(" ")),
    evidence,
  };
}

/** Of the attestation key that came with a quote: what enrolment pins. @throws MeasureError */
export function fingerprintOf(quote: NonNullable<Evidence["quote"]>): string {
  return parsePublicArea(quote.attestationKey).fingerprint;
}

/** "release": what users ask; "test": with a site policy that expects what the test bench adds. */
export async function policyFor(release: Release, bench: Bench, trust: RuntimeQuestion["trust"]): Promise<RuntimePolicy> {
  const policy = releasePolicy(release.measurements(), release.manifest(), release.baseline());
  return trust === "release" ? policy : withSite(policy, await testSitePolicy(release, bench));
}

/** What this bench's machines show beyond the release: the test certificate, the addon, and the unit that it brings. */
export async function testSitePolicy(release: Release, bench: Bench): Promise<SitePolicy> {
  const { "11": _, ...pcrs } = testPrediction(release, bench).pcrs;
  const unit = await agentUnitFile();
  return {
    schema: 1,
    name: "test-bench",
    pcrs,
    addonCommandLine: bench.media.commandLine,
    units: { [unit.name]: sha256(unit.content) },
  };
}
