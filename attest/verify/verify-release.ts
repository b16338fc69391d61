import { stat } from "node:fs/promises";
import { sha256 } from "@secai/formats/digest";
import { DAY_MS, instantMs } from "@secai/formats/instant";
import { requiredOf, runChecks } from "./check.ts";
import { VerifyError } from "./errors.ts";
import { examineRelease } from "./examine-release.ts";
import type { KnownFiles } from "./inventory.ts";
import { releaseChecks } from "./release-checks.ts";
import type { ReleaseEvidence } from "./release-evidence.ts";
import { rulesOf, type VerifyPolicy } from "./release-policy.ts";
import { buildReport, type Report, type TrustAge } from "./report.ts";

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
  const evidence = await examineRelease(dir, policy, known);
  return { report: reportOn(dir, evidence, policy), evidence };
}

function reportOn(target: string, evidence: ReleaseEvidence, policy: VerifyPolicy): Report {
  const outcomes = runChecks(releaseChecks, evidence, policy);
  return buildReport({
    kind: "release",
    target,
    at: new Date(evidence.atMs).toISOString(),
    policy: rulesOf(policy).name,
    warnings: warningsOf(evidence, policy),
    trust: anchorLines(policy),
    trustAge: trustAgeOf(evidence),
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

/** What the caller trusts, for people. */
export function anchorLines({ keys, fingerprints, keyManifest }: VerifyPolicy): readonly string[] {
  if (keyManifest !== undefined) return [`key manifest ${sha256(keyManifest)}`];
  return [...new Set([...keys.map(({ fingerprint }) => fingerprint), ...fingerprints])].map((one) => `key ${one}`);
}

/** Whole days, at the moment that is judged, since the trust data was issued. */
function trustAgeOf({ trust, channel, atMs }: ReleaseEvidence): TrustAge {
  const days = (issued: string) => Math.floor((atMs - instantMs(issued)) / DAY_MS);
  const keys = trust.state === "found" ? trust.value.keys : undefined;
  return {
    ...(keys !== undefined && { keyManifestDays: days(keys.manifest.issued) }),
    ...(channel.state === "found" && { channelDays: days(channel.value.issued) }),
  };
}

/** What decided nothing and should still be known. */
function warningsOf(evidence: ReleaseEvidence, policy: VerifyPolicy): readonly string[] {
  const { tests, channel, atMs } = evidence;
  const { maxTrustAgeDays, expiry } = rulesOf(policy).freshness;
  const moved = policy.atMs === undefined ? [] : [`validity was judged as of ${new Date(atMs).toISOString()}, as you asked`];
  const old = Object.entries(trustAgeOf(evidence))
    .filter(([, days]) => maxTrustAgeDays !== undefined && days > maxTrustAgeDays)
    .map(([what, days]) => `${what === "channelDays" ? "the channel file" : "the key manifest"} is ${days} days old`);
  const expired =
    expiry === "report" && channel.state === "found" && atMs > instantMs(channel.value.expires)
      ? [`the channel file expired on ${channel.value.expires}: a newer release may be kept from you`]
      : [];
  const failed = [...tests].flatMap(([name, test]) =>
    test.state === "found" && test.value.result !== "PASSED" ? [`${name}: ${test.value.result}`] : [],
  );
  return [...moved, ...old, ...expired, ...failed];
}
