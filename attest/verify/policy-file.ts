import { parseJson } from "@secai/formats/canonical-json";
import { designationShape } from "@secai/formats/designation";
import { requireDistinct } from "@secai/formats/distinct";
import { FormatError } from "@secai/formats/errors";
import { integer, list, literal, object, parseShape, type TypeOf, text } from "@secai/formats/shape";
import { lineShape, nameShape, sha256Shape, uriShape, versionShape } from "@secai/formats/shapes";
import { acceleratorShape } from "@secai/formats/test-result";

/** Largest policy file, in bytes. */
export const MAX_POLICY_BYTES = 1 << 18;

/** Roles of files whose signed statement a policy can insist on; the others are in every release. */
export const statementRoles = [
  "provenance",
  "measurements",
  "image-sbom",
  "service-sbom",
  "baseline",
  "vex",
  "key-manifest",
  "channel",
  "manifest",
] as const;
export type StatementRole = (typeof statementRoles)[number];

const commitShape = text(/^[0-9a-f]{40}$/, 40);
const addressShape = text(/^[0-9a-f.:]{2,45}$/, 45);
const requiredTestShape = object({ suite: nameShape }, { accelerators: list(acceleratorShape, { min: 1, max: 3 }) });

/** What an organisation expects of releases, kept under its own control; `secai verify release --policy FILE`. */
export const verifyPolicyShape = object(
  {
    schema: literal(1),
    /** Shown in the report. */
    name: lineShape,
    builders: list(uriShape, { min: 1, max: 100 }),
    designations: list(designationShape, { min: 1, max: 3 }),
    /** Root-role keys by SHA-256 fingerprint, and how many of them must stand behind the release's key manifest. */
    anchors: object({ fingerprints: list(sha256Shape, { max: 100 }), threshold: integer(1, 100) }),
    /** Which kinds of signature count: P-256 alone, either kind, or both of each signer. */
    signatures: literal("classical", "any", "hybrid"),
    requiredStatements: list(literal(...statementRoles), { max: statementRoles.length }),
    requiredTests: list(requiredTestShape, { max: 100 }),
    freshness: object({ expiry: literal("enforce", "report") }, { maxTrustAgeDays: integer(1, 36_500) }),
  },
  {
    sources: object({}, { recipe: nameShape, commits: list(commitShape, { min: 1, max: 1000 }), repository: uriShape }),
    /** The CI workflow that built it, as the builder's version map names it under "workflow". */
    workflow: lineShape,
    minimumVersion: versionShape,
    /** Of the channel; an older genuine release has a smaller one. */
    minimumSequence: integer(0),
    /** Where services may listen beyond the machine itself. */
    exposedPorts: list(object({ address: addressShape, port: integer(1, 65_535) }), { max: 1000 }),
  },
);
export type PolicyFile = TypeOf<typeof verifyPolicyShape>;

/**
 * Strict: an unknown member is an error, because a misspelt expectation is none. Any spacing; people write it.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, SCHEMA_MISMATCH, DUPLICATE_ENTRY
 */
export function parsePolicyFile(bytes: Uint8Array): PolicyFile {
  const policy = parseShape(verifyPolicyShape, parseJson(bytes, MAX_POLICY_BYTES), "a verify policy, schema 1");
  requireDistinct(policy.anchors.fingerprints, "anchors");
  requireDistinct(policy.requiredStatements, "statements");
  requireDistinct(
    policy.requiredTests.map(({ suite }) => suite),
    "suites",
  );
  const { fingerprints, threshold } = policy.anchors;
  if (fingerprints.length > 0 && fingerprints.length < threshold) {
    throw new FormatError("SCHEMA_MISMATCH", { expected: `at least ${threshold} anchors`, actual: `${fingerprints.length}` });
  }
  return policy;
}
