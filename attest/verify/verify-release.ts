import { stat } from "node:fs/promises";
import { requiredOf, runChecks } from "./check.ts";
import { VerifyError } from "./errors.ts";
import { type Inventory, type KnownFiles, takeInventory } from "./inventory.ts";
import { releaseChecks } from "./release-checks.ts";
import { gatherEvidence, type ReleaseEvidence } from "./release-evidence.ts";
import type { VerifyPolicy } from "./release-policy.ts";
import { buildReport, type Report } from "./report.ts";

/**
 * Answers whether `dir` is a release as `policy` expects it. Opens no socket, writes nothing, reads every byte once.
 * `known` spares a caller that has hashed files in this very process the second read of them.
 * @throws VerifyError TARGET_MISSING, TRUST_ROOT_MISSING
 */
export async function verifyRelease(dir: string, policy: VerifyPolicy, known?: KnownFiles): Promise<Report> {
  if (policy.keys.length + policy.fingerprints.length === 0) throw new VerifyError("TRUST_ROOT_MISSING");
  const target = await stat(dir).catch(() => undefined);
  if (target?.isDirectory() !== true) throw new VerifyError("TARGET_MISSING", { expected: "a directory", actual: dir });
  return reportOn(dir, await takeInventory(dir, known), policy);
}

function reportOn(target: string, inventory: Inventory, policy: VerifyPolicy): Report {
  const evidence = gatherEvidence(inventory, policy);
  const outcomes = runChecks(releaseChecks, evidence, policy);
  const trusted = [...policy.keys.map(({ fingerprint }) => fingerprint), ...policy.fingerprints];
  return buildReport({
    kind: "release",
    target,
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
