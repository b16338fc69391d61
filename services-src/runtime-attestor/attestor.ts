import { randomBytes } from "node:crypto";
import type { SignedState, StateBundle, VerifyAnswer } from "@secai/kit/api/attestation";
import type { AuditLog } from "@secai/kit/audit";
import { canonicalJson, sha256 } from "@secai/kit/digest";
import { errorFields, type Log } from "@secai/kit/log";
import type { Metrics } from "@secai/kit/metrics";
import type { Outbox } from "@secai/kit/outbox";
import { createRateLimiter } from "@secai/kit/rate-limit";
import type { Report } from "@secai/kit/reporting";
import type { Signer } from "@secai/kit/signing";
import type { Clock } from "@secai/kit/sources";
import { buildBundle, NO_DIGEST, signBundle } from "./bundle.ts";
import { type Judgement, judge } from "./core.ts";
import { AttestorError } from "./errors.ts";
import type { Finding } from "./finding.ts";
import { incidentOf, reportKey } from "./incident.ts";
import type { Seen } from "./machine.ts";
import { type Memory, policyOf, withPolicy } from "./memory.ts";
import { createTurns } from "./queue.ts";
import { countersOf } from "./tpm-counters.ts";

/** Quotes on demand, over all callers. A TPM takes up to two seconds for one. */
const REFRESHES = { perMinute: 30, burst: 10 };
const MAX_WAITING = 4;
/** Findings that say no more than that the machine is still coming up. */
const STARTING = "BOOT_NOT_COMPLETE";
const STARTING_RETRY_MS = 5_000;

export interface Attestor {
  /**
   * Attests once more, for this nonce or one of our own; resolves when the result is on record, and published.
   * @throws AttestorError REFRESH_RATE_LIMITED; KitError AUDIT_UNAVAILABLE: then the machine counts as failed
   */
  refresh(nonce: string | undefined, signal: AbortSignal): Promise<SignedState>;
  /** The regular attestation, which no rate limit holds up. @throws KitError AUDIT_UNAVAILABLE */
  attest(): Promise<SignedState>;
  current(): SignedState | undefined;
  verdict(): VerifyAnswer;
  memory(): Memory;
  /** Milliseconds until the next regular attestation is due. */
  dueMs(): number;
  alive(): boolean;
}

export interface AttestorParts {
  /** Looks at the machine, with a quote for this nonce. */
  observe(nonce: string): Promise<Seen>;
  readonly memory: Memory;
  writeMemory(memory: Memory): Promise<void>;
  /** Whether the memory was lost: there is an audit log, but it remembers nothing. */
  readonly memoryLost: boolean;
  readonly audit: Pick<AuditLog, "append">;
  readonly signer: Signer;
  readonly legacyKey: Uint8Array | undefined;
  readonly reporter: Pick<Outbox<Report>, "put">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly refreshIntervalMs: number;
}

export function createAttestor(parts: AttestorParts): Attestor {
  const { clock, refreshIntervalMs } = parts;
  const turns = createTurns<SignedState>(MAX_WAITING);
  const limit = createRateLimiter(REFRESHES);
  let { memory, memoryLost } = parts;
  let published: SignedState | undefined;
  let endedMs = clock.monotonicMs();

  async function run(nonce: string): Promise<SignedState> {
    const start = clock.monotonicMs();
    try {
      const seen = withOwnFindings(await parts.observe(nonce), memory, memoryLost);
      const judgement = judge({ ...seen, software: seen.software.findings, lastCounters: memory.counters ?? undefined });
      return await publish(seen, judgement);
    } finally {
      endedMs = clock.monotonicMs();
      parts.metrics.observeSeconds("attestation_seconds", (endedMs - start) / 1000);
    }
  }

  /** Record first, then remember, then publish. What cannot be recorded or remembered is a failed attestation, and nothing else is seen of it. */
  async function publish(seen: Seen, judgement: Judgement): Promise<SignedState> {
    const timestamp = new Date(clock.nowMs()).toISOString();
    const signed = sign(buildBundle(seen, judgement, timestamp));
    try {
      await parts.audit.append("attestation", recordOf(signed.bundle));
      await remember(seen, judgement, timestamp);
    } catch (error) {
      published = sign(buildBundle(seen, unrecorded(judgement), timestamp));
      count(published.bundle);
      parts.log("error", "attestation not recorded", errorFields(error));
      throw error;
    }
    published = signed;
    count(signed.bundle);
    await report(signed.bundle);
    return signed;
  }

  async function remember(seen: Seen, judgement: Judgement, at: string): Promise<void> {
    memory = remembered(memory, seen, judgement, at);
    memoryLost = false;
    await parts.writeMemory(memory);
  }

  const sign = (bundle: StateBundle): SignedState => signBundle(bundle, parts.signer, parts.legacyKey);

  function count({ state }: StateBundle): void {
    parts.metrics.count("attestations_total", { state });
  }

  /** Each fault once; the recorder counts how often the same is told. A report that cannot be queued is tried with the next attestation. */
  async function report(bundle: StateBundle): Promise<void> {
    const key = reportKey(bundle);
    if (key === memory.reported) return;
    try {
      if (key !== "") await parts.reporter.put(incidentOf(bundle, key));
      memory = { ...memory, reported: key };
      await parts.writeMemory(memory);
    } catch (error) {
      parts.log("error", "incident not reported", errorFields(error));
    }
  }

  function take(nonce: string | undefined, signal?: AbortSignal): Promise<SignedState> {
    const work = async () => {
      signal?.throwIfAborted();
      return run(nonce ?? randomBytes(32).toString("hex"));
    };
    // Callers without a nonce of their own can share an answer; for the others the quote must be theirs.
    const turn = turns.take(work, nonce === undefined ? "shared" : undefined);
    if (turn === false)
      throw new AttestorError("REFRESH_RATE_LIMITED", { expected: `at most ${MAX_WAITING} waiting`, actual: "more" });
    return turn;
  }

  const isStale = () => clock.monotonicMs() - endedMs > 2 * refreshIntervalMs + 60_000;

  return {
    async refresh(nonce, signal) {
      if (!limit.take(clock.monotonicMs()))
        throw new AttestorError("REFRESH_RATE_LIMITED", { expected: `${REFRESHES.perMinute} a minute`, actual: "more" });
      return take(nonce, nonce === undefined ? undefined : signal);
    },
    attest: async () => take(undefined),
    current: () => published,
    verdict: () => verdictOf(published?.bundle, isStale()),
    memory: () => memory,
    dueMs: () => Math.max(0, endedMs + waitAfter(published?.bundle, refreshIntervalMs) - clock.monotonicMs()),
    alive: () => !isStale(),
  };
}

function waitAfter(bundle: StateBundle | undefined, intervalMs: number): number {
  const starting = bundle !== undefined && bundle.failures.length > 0 && bundle.failures.every(({ code }) => code === STARTING);
  return starting ? Math.min(STARTING_RETRY_MS, intervalMs) : intervalMs;
}

/** An attestation of long ago says nothing of now. Pure. */
export function verdictOf(bundle: StateBundle | undefined, isStale: boolean): VerifyAnswer {
  const { state = "pending", assurance_mode = "evaluation", evidence_verified = false } = bundle ?? {};
  const attested = state === "attested" && !isStale;
  const verified = attested && assurance_mode === "hardware" && evidence_verified;
  return {
    verified,
    policy_satisfied: verified || (attested && assurance_mode === "evaluation"),
    state,
    assurance_mode,
    evidence_verified,
  };
}

/** What only who remembers can see. Pure. */
function withOwnFindings(seen: Seen, memory: Memory, memoryLost: boolean): Seen {
  const { profile, evidence, software } = seen;
  const problems: Finding[] = [...seen.problems];
  const policies: Finding[] = [];
  if (memoryLost)
    problems.push({ check: "memory.present", code: "STATE_LOST", expected: "what earlier attestations left", actual: "none" });
  if (memory.enrolled !== "" && profile.mode !== "hardware")
    problems.push({ check: "profile.mode", code: "PROFILE_DOWNGRADE", expected: `key ${memory.enrolled}`, actual: profile.mode });
  const before = policyOf(memory, evidence?.root.hash ?? "");
  if (before !== undefined && before !== software.policyDigest)
    policies.push({ check: "software.policies", code: "POLICY_DIGEST", expected: before, actual: software.policyDigest });
  return { ...seen, problems, software: { ...software, findings: [...software.findings, ...policies] } };
}

/** Only what was believed changes what is believed next. Pure. */
function remembered(memory: Memory, { profile, evidence, software }: Seen, judgement: Judgement, at: string): Memory {
  const { state, findings, quote, quoteVerified, attestationKey } = judgement;
  const root = evidence?.root.hash;
  const known =
    root && judgement.baselineVerified && root !== NO_DIGEST ? withPolicy(memory, root, software.policyDigest) : memory;
  const enrolled = profile.mode === "hardware" ? profile.ak_fingerprint : memory.enrolled;
  const isAhead = quoteVerified && attestationKey === enrolled && !findings.some(({ code }) => code === "TPM_CLOCK_BACK");
  const counters = enrolled === memory.enrolled ? memory.counters : null;
  return {
    ...known,
    enrolled,
    counters: isAhead && quote !== undefined && profile.mode === "hardware" ? countersOf(quote) : counters,
    last_fault: state === "attested" ? memory.last_fault : { at, state, codes: findings.slice(0, 256).map(({ code }) => code) },
    attest_count: memory.attest_count + Number(state === "attested"),
    degrade_count: memory.degrade_count + Number(state === "degraded"),
    fail_count: memory.fail_count + Number(state === "failed"),
  };
}

function unrecorded(judgement: Judgement): Judgement {
  const finding = {
    check: "attestation.record",
    code: "AUDIT_FAILED",
    expected: "the attestation on record",
    actual: "no record",
  };
  return { ...judgement, state: "failed", evidenceVerified: false, findings: [finding, ...judgement.findings] };
}

/** Whoever has the bundle can find its record by the digest; the rest is what an investigation asks for first. */
function recordOf(bundle: StateBundle) {
  const { state, assurance_mode, evidence_verified, request_nonce, deployment_digest, policy_digest, failures } = bundle;
  return {
    bundle_sha256: sha256(canonicalJson(bundle)),
    state,
    assurance_mode,
    evidence_verified,
    request_nonce,
    deployment_digest,
    policy_digest,
    tpm_ak_fingerprint: bundle.tpm_ak_fingerprint,
    tpm_clock: bundle.boot_measurements.tpm_clock,
    failures,
  };
}
