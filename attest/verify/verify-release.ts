import { stat } from "node:fs/promises";
import { requiredOf, runChecks } from "./check.ts";
import { VerifyError } from "./errors.ts";
import { type KnownFiles, takeInventory } from "./inventory.ts";
import { releaseChecks } from "./release-checks.ts";
import { gatherEvidence, type ReleaseEvidence } from "./release-evidence.ts";
import { rulesOf, type VerifyPolicy } from "./release-policy.ts";
import { buildReport, type Report } from "./report.ts";

/**
 * Answers whether `dir` is a release as `policy` expects it. Opens no socket, writes nothing, reads every byte once.
 * `known` spares a caller that has hashed files in this very process the second read of them.
 * @throws VerifyError TARGET_MISSING, TRUST_ROOT_MISSING
 */
export async function verifyRelease(dir: string, policy: VerifyPolicy, known?: KnownFiles): Promise<Report> {
  return (await verifyReleaseEvidence(dir, policy, known)).report;
}

/** As `verifyRelease`, with what the verdict was made of. @throws VerifyError TARGET_MISSING, TRUST_ROOT_MISSING */
export async function verifyReleaseEvidence(
  dir: string,
  policy: VerifyPolicy,
  known?: KnownFiles,
): Promise<{ readonly report: Report; readonly evidence: ReleaseEvidence }> {
  const anchors = policy.keys.length + policy.fingerprints.length;
  if (anchors === 0 && policy.keyManifest === undefined) throw new VerifyError("TRUST_ROOT_MISSING");
  const target = await stat(dir).catch(() => undefined);
  if (target?.isDirectory() !== true) throw new VerifyError("TARGET_MISSING", { expected: "a directory", actual: dir });
  const evidence = gatherEvidence(await takeInventory(dir, known), policy);
  return { report: reportOn(dir, evidence, policy), evidence };
}

function reportOn(target: string, evidence: ReleaseEvidence, policy: VerifyPolicy): Report {
  const outcomes = runChecks(releaseChecks, evidence, policy);
  const trusted = [...policy.keys.map(({ fingerprint }) => fingerprint), ...policy.fingerprints];
  return buildReport({
    kind: "release",
    target,
    at: new Date(evidence.atMs).toISOString(),
    policy: rulesOf(policy).name,
    warnings: warningsOf(evidence, policy),
    trust: [...new Set(trusted)].map((fingerprint) => `key ${fingerprint}`),
    claims: claimsOf(evidence),
    required: requiredOf(releaseChecks, outcomes),
    outcomes,
  });
}

/** What the release says of itself, for people; the designation and any drift always among it. */
function claimsOf({ manifest, provenance }: ReleaseEvidence): Readonly<Record<string, string>> {
  const claims: Record<string, string> = {};
  if (manifest.state === "found") {
    const { recipe, tag, designation, image } = manifest.value;
    Object.assign(claims, { recipe, version: tag, designation, image: image.digest, rootHash: image.root_hash });
  }
  if (provenance.state === "found") {
    const { drift } = provenance.value.buildDefinition.internalParameters;
    claims.builder = provenance.value.runDetails.builder.id;
    claims.drift =
      drift.length === 0 ? "none" : `${drift.length} locked files replaced by newer ones: ${drift.slice(0, 3).join(", ")}`;
  }
  return claims;
}

/** What decided nothing and should still be known. */
function warningsOf({ tests, atMs }: ReleaseEvidence, policy: VerifyPolicy): readonly string[] {
  const failed = [...tests].flatMap(([name, test]) =>
    test.state === "found" && test.value.result !== "PASSED" ? [`${name}: ${test.value.result}`] : [],
  );
  const moved = policy.atMs === undefined ? [] : [`validity was judged as of ${new Date(atMs).toISOString()}, as you asked`];
  return [...moved, ...failed];
}
