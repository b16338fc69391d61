import type { Designation } from "@secai/formats/designation";
import type { Sha256 } from "@secai/formats/digest";
import type { PublicKey } from "@secai/formats/keys";
import { DAGGER_BUILDER_ID, LOCAL_BUILDER_ID } from "@secai/formats/uris";
import { type PolicyFile, type StatementRole, statementRoles } from "./policy-file.ts";

/** What the person who asks expects. It comes from outside the release; nothing in the release can widen it. */
export interface VerifyPolicy extends Partial<PolicyRules> {
  /** Keys of the root role, as their owner handed them out. */
  readonly keys: readonly PublicKey[];
  /** Fingerprints that may stand for a key: the release's own copy of it is then used, after its fingerprint was compared. */
  readonly fingerprints: readonly Sha256[];
  readonly designations: readonly Designation[];
  readonly builders: readonly string[];
  /** The release that is meant, so that an older genuine one is not taken for it. Undefined: any. */
  readonly version?: string;
  /** Media that the caller did not fetch; they are reported as not present instead of missing. */
  readonly without: readonly string[];
  /** Content of a key manifest that was obtained outside the release: its whole root role is trusted instead of single keys. */
  readonly keyManifest?: Buffer;
  /** The moment that validity is judged at, in milliseconds since 1970. Undefined: now. */
  readonly atMs?: number;
}

/** The rules of a policy file that a caller may leave out: the strict defaults below then hold. */
export interface PolicyRules {
  readonly name: string;
  /** How many of the anchors must stand behind the key manifest. */
  readonly threshold: number;
  readonly signatures: PolicyFile["signatures"];
  readonly requiredStatements: readonly StatementRole[];
  /** Undefined: as the designation demands. */
  readonly requiredTests: PolicyFile["requiredTests"] | undefined;
  readonly freshness: PolicyFile["freshness"];
  readonly sources: NonNullable<PolicyFile["sources"]>;
  readonly workflow: string | undefined;
  readonly minimumVersion: string | undefined;
  readonly minimumSequence: number;
  readonly exposedPorts: NonNullable<PolicyFile["exposedPorts"]>;
}

export const knownBuilders: readonly string[] = [LOCAL_BUILDER_ID, DAGGER_BUILDER_ID];

/** What holds where nobody said otherwise. */
const strict: PolicyRules = {
  name: "built-in",
  threshold: 1,
  signatures: "any",
  requiredStatements: statementRoles,
  requiredTests: undefined,
  freshness: { expiry: "enforce", maxTrustAgeDays: 400 },
  sources: {},
  workflow: undefined,
  minimumVersion: undefined,
  minimumSequence: 0,
  exposedPorts: [],
};

/** The caller's rules over the strict ones. */
export function rulesOf(policy: Partial<PolicyRules>): PolicyRules {
  const given = Object.entries(policy).filter(([name, value]) => Object.hasOwn(strict, name) && value !== undefined);
  return { ...strict, ...Object.fromEntries(given) };
}

/** Suites that must have passed over the very image before it is for everybody. */
const SUITES_OF_STABLE = [{ suite: "acceptance" }, { suite: "adversarial" }] as const;

export function requiredTestsOf(policy: VerifyPolicy, designation: Designation): PolicyFile["requiredTests"] {
  return policy.requiredTests ?? (designation === "stable" ? SUITES_OF_STABLE : []);
}
