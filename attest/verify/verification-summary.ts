import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { roleOf } from "@secai/formats/release-layout";
import { releasePredicate } from "@secai/formats/release-statement";
import { parseVsa, type Vsa } from "@secai/formats/vsa";
import type { ReleaseEvidence } from "./release-evidence.ts";
import { rulesOf, type VerifyPolicy } from "./release-policy.ts";
import { REPORT_SCHEMA, type Report } from "./report.ts";

/** Names the program, not a place: https://slsa.dev/spec/v1.0/verification_summary, `verifier.id`. */
const VERIFIER_ID = "urn:secai-os:verifier:v1";

/**
 * The verdict as the predicate of a SLSA verification summary, for whoever verified to sign about disk.raw.zst. Anything but acceptance is
 * FAILED: a summary has no third word. The level is what signed provenance of our builders shows by itself.
 */
export function summaryOf(report: Report, { manifest, inventory, atMs }: ReleaseEvidence, policy: VerifyPolicy): Vsa {
  const passed = report.verdict === "accepted";
  const resource =
    manifest.state === "found" ? releasePredicate(manifest.value.recipe, manifest.value.tag).purl : "urn:secai-os:unknown";
  const bundles = [...inventory.files].filter(([name]) => roleOf(name) === "bundle" || roleOf(name) === "checksums-bundle");
  const rules = { ...rulesOf(policy), designations: policy.designations, builders: policy.builders };
  const anchors = [...policy.keys.map(({ fingerprint }) => fingerprint), ...policy.fingerprints].sort();
  const summary: Vsa = {
    verifier: { id: VERIFIER_ID, version: { "report-schema": String(REPORT_SCHEMA) } },
    timeVerified: new Date(atMs).toISOString(),
    resourceUri: resource,
    policy: {
      uri: `urn:secai-os:policy:${encodeURIComponent(rules.name)}`,
      digest: { sha256: sha256(canonicalJson({ ...rules, anchors })) },
    },
    inputAttestations: bundles.map(([name, file]) => ({ uri: `urn:secai-os:file:${name}`, digest: { sha256: file.sha256 } })),
    verificationResult: passed ? "PASSED" : "FAILED",
    verifiedLevels: passed ? ["SLSA_BUILD_LEVEL_1"] : [],
    slsaVersion: "1.0",
  };
  return parseVsa(Buffer.from(`${canonicalJson(summary)}\n`));
}
