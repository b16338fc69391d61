import { stat } from "node:fs/promises";
import { type Baseline, parseBaseline } from "@secai/formats/baseline";
import { parseBundle } from "@secai/formats/bundle";
import type { Manifest } from "@secai/formats/manifest";
import { BASELINE_FILE } from "@secai/formats/release-layout";
import type { Measurements } from "@secai/measure/measurements";
import { type Check, type CheckOutcome, fail, pass, requiredOf, runChecks } from "./check.ts";
import { VerifyError } from "./errors.ts";
import { takeInventory } from "./inventory.ts";
import { releaseChecks } from "./release-checks.ts";
import { derive, type Found, fileOf, gatherEvidence, when } from "./release-evidence.ts";
import type { VerifyPolicy } from "./release-policy.ts";
import { trustedKeys } from "./release-trust.ts";
import { buildReport, type Report } from "./report.ts";
import { requiredChecks, runtimeChecks } from "./runtime-checks.ts";
import type { Evidence } from "./runtime-evidence.ts";
import { type Asked, runtimeFacts } from "./runtime-facts.ts";
import { type RuntimePolicy, releasePolicy, type SitePolicy, withSite } from "./runtime-policy.ts";
import { openStatement } from "./runtime-statement.ts";
import { anchorLines } from "./verify-release.ts";

/** Where the promise comes from that the machine is held to. */
export type PromiseSource =
  | { readonly kind: "release"; readonly dir: string }
  /** Bytes of a measurements.json.sigstore.json: the signed statement, which holds the measurements. */
  | { readonly kind: "measurements"; readonly bundle: Buffer };

export interface RuntimeQuestion {
  /** Name of the machine or of the file, for the report. */
  readonly target: string;
  readonly evidence: Evidence;
  /** Hex; what the machine was asked with. */
  readonly nonce: string;
  readonly source: PromiseSource;
  readonly trust: VerifyPolicy;
  readonly site: SitePolicy | undefined;
  /** Whether the machine was asked for more than evidence, and when; nothing more by default. */
  readonly asked?: Asked;
}

/** A verified promise, or why there is none: its own checks either way. */
interface Promised {
  readonly outcomes: readonly CheckOutcome[];
  readonly required: readonly string[];
  readonly measurements: Found<Measurements>;
  readonly manifest?: Manifest;
  readonly baseline?: Baseline;
}

/**
 * Answers whether the machine that gave `evidence` runs the promised release. Opens no socket and writes nothing.
 * @throws VerifyError TARGET_MISSING
 */
export async function verifyRuntime(question: RuntimeQuestion): Promise<Report> {
  const { source, trust } = question;
  const promised =
    source.kind === "release" ? await promiseOfRelease(source.dir, trust) : promiseOfStatement(source.bundle, trust);
  const { measurements } = promised;
  const policy = measurements.state === "found" ? policyOf(measurements.value, promised, question.site) : undefined;
  const facts = runtimeFacts(question.evidence, question.nonce, question.asked);
  const outcomes = policy === undefined ? [] : runChecks(runtimeChecks, facts, policy);
  return buildReport({
    kind: "runtime",
    target: question.target,
    trust: anchorLines(trust),
    claims: claimsOf(question.evidence, facts.attestationKey, policy),
    // Without measurements nothing could be asked of the machine: then every check is owed, and the verdict stays open at best.
    required: [...promised.required, ...(policy === undefined ? runtimeChecks.map(({ id }) => id) : requiredChecks(policy))],
    outcomes: [...promised.outcomes, ...outcomes],
  });
}

function policyOf(measurements: Measurements, { manifest, baseline }: Promised, site: SitePolicy | undefined): RuntimePolicy {
  const policy = releasePolicy(measurements, manifest, baseline);
  return site === undefined ? policy : withSite(policy, site);
}

function claimsOf(
  { release }: Evidence,
  attestationKey: ReturnType<typeof runtimeFacts>["attestationKey"],
  policy: RuntimePolicy | undefined,
): Readonly<Record<string, string>> {
  return {
    image: `${release.imageId} ${release.imageVersion}`,
    ...(policy !== undefined && { policy: policy.name }),
    ...(attestationKey.state === "found" && { attestationKey: attestationKey.value.fingerprint }),
  };
}

async function promiseOfRelease(dir: string, trust: VerifyPolicy): Promise<Promised> {
  const target = await stat(dir).catch(() => undefined);
  if (target?.isDirectory() !== true) throw new VerifyError("TARGET_MISSING", { expected: "a directory", actual: dir });
  const evidence = gatherEvidence(await takeInventory(dir), trust);
  // Believed for the same reason as the manifest: the release's own checks are part of the verdict, and they cover every file in it.
  const baseline = derive(fileOf(evidence, BASELINE_FILE), ({ bytes }) => parseBaseline(bytes ?? new Uint8Array()));
  const outcomes = runChecks(releaseChecks, evidence, trust);
  return {
    outcomes,
    required: requiredOf(releaseChecks, outcomes),
    measurements: evidence.measurements,
    ...(evidence.manifest.state === "found" && { manifest: evidence.manifest.value }),
    ...(baseline.state === "found" && { baseline: baseline.value }),
  };
}

const signatureCheck: Check<Found<Measurements>, VerifyPolicy> = {
  id: "measurements.signature",
  title: "A trusted key signed the measurements",
  run: (measurements) => when(measurements, () => pass),
};

const designationCheck: Check<Found<Measurements>, VerifyPolicy> = {
  id: "measurements.designation",
  title: "The release is for whom the caller expects",
  run: (measurements, { designations }) =>
    when(measurements, ({ designation }) =>
      (designations as readonly string[]).includes(designation)
        ? pass
        : fail("DESIGNATION", designations.join(" or "), designation),
    ),
};

function promiseOfStatement(bundle: Buffer, trust: VerifyPolicy): Promised {
  const keys = trustedKeys(trust, "release", trust.atMs ?? Date.now());
  const measurements = derive(keys, (role) => openStatement(parseBundle(bundle), role));
  const checks = [signatureCheck, designationCheck];
  return { outcomes: runChecks(checks, measurements, trust), required: checks.map(({ id }) => id), measurements };
}
