import type { Sha256 } from "@secai/formats/digest";
import type { AssuranceMode, AttestationState } from "@secai/kit/api/attestation";
import type { PcrSignatures } from "@secai/measure/pcr-signature";
import type { Quote } from "@secai/measure/quote";
import { type CheckOutcome, runChecks } from "@secai/verify/check";
import type { Found } from "@secai/verify/found";
import { runtimeChecks } from "@secai/verify/runtime-checks";
import type { Evidence } from "@secai/verify/runtime-evidence";
import { type RuntimeFacts, runtimeFacts } from "@secai/verify/runtime-facts";
import type { RuntimePolicy } from "@secai/verify/runtime-policy";
import { expectationsOf } from "./expectations.ts";
import { type Finding, findingOf } from "./finding.ts";
import type { HardwareProfile, Profile } from "./profile.ts";
import { isBehind, type TpmCounters } from "./tpm-counters.ts";

/** Everything an attestation is decided from. */
export interface Observation {
  /** 32 bytes, lower-case hex: what the quote must answer. */
  readonly nonce: string;
  /** Undefined: the machine's state could not be read; `problems` says why. */
  readonly evidence: Evidence | undefined;
  readonly profile: Profile;
  readonly statements: readonly Uint8Array[];
  readonly pcrSignatures: Found<PcrSignatures>;
  /** What does not hold of bundles and policy files. */
  readonly software: readonly Finding[];
  /** Content of /sys/kernel/security/lockdown; the mode in force stands in brackets. */
  readonly lockdown: string;
  readonly gpuVerdict: string;
  /** Of the TPM, as it was when it was last believed. */
  readonly lastCounters: TpmCounters | undefined;
  /** What went wrong while all this was gathered. */
  readonly problems: readonly Finding[];
}

export interface Judgement {
  readonly state: AttestationState;
  readonly mode: AssuranceMode;
  readonly findings: readonly Finding[];
  readonly quoteVerified: boolean;
  readonly measurementsVerified: boolean;
  readonly deploymentVerified: boolean;
  readonly baselineVerified: boolean;
  readonly evidenceVerified: boolean;
  readonly quote: Quote | undefined;
  /** Fingerprint of the key that came with the quote; "" without one. */
  readonly attestationKey: string;
}

/** Checks that need nothing but the evidence: all that is left where nobody enrolled the machine. */
const SELF_CONTAINED: readonly string[] = [
  ...["quote.signature", "quote.nonce", "quote.pcrs", "quote.ak-attributes"],
  "event-log.replay",
];
/** Policy of those checks: none of them looks at it. */
const NO_POLICY: RuntimePolicy = {
  name: "none",
  pcrs: { "4": "" as Sha256, "7": "" as Sha256, "11": "" as Sha256, "12": "" as Sha256 },
  pcr11Phases: {},
  rootHash: "" as Sha256,
  commandLine: "",
  attestationKeys: undefined,
  endorsement: undefined,
  release: undefined,
  baseline: undefined,
  units: undefined,
};

/** Checks whose failure means that the TPM's word is missing or speaks of another machine. The others only degrade. */
const FATAL = /^(quote|boot|event-log|root|tpm|statement|profile|attestation)\./;
/** Fatal in an enrolled machine or not. */
const ALWAYS_FATAL = /^(profile|attestation)\./;

/** Pure. @throws nothing */
export function judge(observation: Observation): Judgement {
  const { profile } = observation;
  return profile.mode === "hardware" ? judgeEnrolled(observation, profile) : judgeUnenrolled(observation);
}

function judgeEnrolled(observation: Observation, profile: HardwareProfile): Judgement {
  const { evidence, nonce, problems } = observation;
  if (evidence === undefined) return judgement(observation, [], undefined, problems);
  const facts = runtimeFacts(evidence, nonce);
  const { policy, findings } = expectationsOf({
    profile,
    statements: observation.statements,
    pcrSignatures: observation.pcrSignatures,
    rootHash: evidence.root.hash as Sha256 | null,
    pcr11: evidence.quote?.pcrs.get(11),
  });
  const outcomes = runChecks(runtimeChecks, facts, policy);
  return judgement(observation, outcomes, facts, [
    ...problems,
    ...findings,
    ...outcomes.flatMap(findingOf),
    ...firmwareFindings(observation, evidence),
    ...counterFindings(observation, profile, facts),
  ]);
}

/** Without enrolment there is nothing to compare with: only what contradicts itself is a finding, and absence is none. */
function judgeUnenrolled(observation: Observation): Judgement {
  const { evidence, nonce, problems } = observation;
  if (evidence === undefined) return judgement(observation, [], undefined, problems);
  const facts = runtimeFacts(evidence, nonce);
  const checks = runtimeChecks.filter(({ id }) => SELF_CONTAINED.includes(id));
  const outcomes = runChecks(checks, facts, NO_POLICY);
  const contradictions = outcomes.filter(({ status }) => status === "fail").flatMap(findingOf);
  return judgement(observation, outcomes, facts, [...problems, ...contradictions]);
}

function judgement(
  observation: Observation,
  outcomes: readonly CheckOutcome[],
  facts: RuntimeFacts | undefined,
  found: readonly Finding[],
): Judgement {
  const { mode } = observation.profile;
  const findings = [...found, ...observation.software, ...gpuFindings(observation)];
  const state = stateOf(mode, findings);
  const passed = (pattern: RegExp) => isPassed(outcomes, pattern);
  const sourced = !findings.some(({ check }) => /^(statement|tpm|attestation)\./.test(check) || check === "boot.pcr-signature");
  const quoteVerified = passed(/^quote\./) && !findings.some(({ check }) => check === "tpm.quote");
  const measurementsVerified = mode === "hardware" && quoteVerified && sourced && passed(/^boot\./) && passed(/^event-log\./);
  const deploymentVerified = measurementsVerified && passed(/^root\./);
  const baselineVerified = observation.evidence !== undefined && observation.software.length === 0;
  return {
    state,
    mode,
    findings,
    quoteVerified,
    measurementsVerified,
    deploymentVerified,
    baselineVerified,
    evidenceVerified: state === "attested" && mode === "hardware" && deploymentVerified && baselineVerified,
    quote: facts?.quote.state === "found" ? facts.quote.value : undefined,
    attestationKey: facts?.attestationKey.state === "found" ? facts.attestationKey.value.fingerprint : "",
  };
}

/** At least one of these checks passed, and none of them said no or could not say. */
function isPassed(outcomes: readonly CheckOutcome[], pattern: RegExp): boolean {
  const asked = outcomes.filter(({ id, status }) => pattern.test(id) && status !== "not_present");
  return asked.length > 0 && asked.every(({ status }) => status === "pass");
}

export function stateOf(mode: AssuranceMode, findings: readonly Pick<Finding, "check">[]): AttestationState {
  if (findings.length === 0) return "attested";
  const fatal = mode === "hardware" ? FATAL : ALWAYS_FATAL;
  return findings.some(({ check }) => fatal.test(check)) ? "failed" : "degraded";
}

function firmwareFindings({ lockdown }: Observation, { secureBoot }: Evidence): readonly Finding[] {
  const findings: Finding[] = [];
  if (secureBoot !== "enabled")
    findings.push({ check: "boot.secure-boot-variable", code: "SECURE_BOOT", expected: "enabled", actual: secureBoot });
  if (!/\[(integrity|confidentiality)\]/.test(lockdown))
    findings.push({ check: "kernel.lockdown", code: "LOCKDOWN_OFF", expected: "integrity or confidentiality", actual: lockdown });
  return findings;
}

function counterFindings({ lastCounters }: Observation, profile: HardwareProfile, { quote }: RuntimeFacts): readonly Finding[] {
  if (quote.state !== "found") return [];
  const { resetCount } = quote.value;
  const reset = profile.tpm_reset_count;
  const clock = (expected: string, actual: string) => [{ check: "tpm.clock", code: "TPM_CLOCK_BACK", expected, actual }];
  if (resetCount < reset) return clock(`at least ${reset} resets, as at enrolment`, `${resetCount}`);
  if (lastCounters === undefined || !isBehind(quote.value, lastCounters)) return [];
  const { resetCount: resets, restartCount, clockMs } = lastCounters;
  return clock(
    `later than reset ${resets}, restart ${restartCount}, ${clockMs} ms`,
    `reset ${resetCount}, restart ${quote.value.restartCount}, ${quote.value.clockMs} ms`,
  );
}

function gpuFindings({ gpuVerdict }: Observation): readonly Finding[] {
  if (gpuVerdict !== "critical") return [];
  return [{ check: "gpu.integrity", code: "GPU_CRITICAL", expected: "no critical verdict", actual: gpuVerdict }];
}
