import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Sha256 } from "../../attest/formats/digest.ts";
import { type Prediction, predictPcrs } from "../../attest/measure/predict.ts";
import { runChecks, type Verdict, verdictOf } from "../../attest/verify/check.ts";
import { requiredChecks, runtimeChecks } from "../../attest/verify/runtime-checks.ts";
import { parseEvidence } from "../../attest/verify/runtime-evidence.ts";
import { runtimeFacts } from "../../attest/verify/runtime-facts.ts";
import { type RuntimePolicy, releasePolicy, type SitePolicy, withSite } from "../../attest/verify/runtime-policy.ts";
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
}

/** Asks the machine for evidence over a fresh nonce and judges it as `secai verify runtime` does. @throws VmError, FormatError, RuntimeError */
export async function runtimeVerdict(
  release: Release,
  bench: Bench,
  machine: Machine,
  question: RuntimeQuestion,
): Promise<RuntimeAnswer> {
  const nonce = randomBytes(32).toString("hex");
  const { exitCode, stdoutBytes, stderr } = await machine.run(`${COLLECTOR} ${nonce}`, { timeoutMs: 120_000 });
  if (exitCode !== 0) throw new VmError("CHECK_FAILED", { expected: "evidence from the machine", actual: stderr.trim() });
  const policy = policyFor(release, bench, question.trust);
  const outcomes = runChecks(runtimeChecks, runtimeFacts(parseEvidence(stdoutBytes), question.checkedNonce ?? nonce), policy);
  const failures = outcomes.flatMap((outcome) =>
    outcome.status === "fail" || outcome.status === "undecided" ? [outcome.code] : [],
  );
  return { verdict: verdictOf(outcomes, requiredChecks(policy)), failures };
}

function policyFor(release: Release, bench: Bench, trust: RuntimeQuestion["trust"]): RuntimePolicy {
  const policy = releasePolicy(release.measurements(), release.manifest());
  if (trust === "release") return policy;
  const { pcrs } = testPrediction(release, bench);
  const addonCommandLine = bench.media.commandLine;
  const site: SitePolicy = {
    schema: 1,
    name: "test-bench",
    pcrs: { "4": pcrs["4"], "7": pcrs["7"], "12": pcrs["12"] as Sha256 },
    addonCommandLine,
  };
  return withSite(policy, site);
}
