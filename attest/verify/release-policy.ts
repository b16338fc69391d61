import type { Designation } from "@secai/formats/designation";
import type { Sha256 } from "@secai/formats/digest";
import type { PublicKey } from "@secai/formats/keys";
import { DAGGER_BUILDER_ID, LOCAL_BUILDER_ID } from "@secai/formats/uris";

/** What the person who asks expects. It comes from outside the release; nothing in the release can widen it. */
export interface VerifyPolicy {
  /** Keys that may have signed the release. */
  readonly keys: readonly PublicKey[];
  /** Fingerprints that may stand for a key: the release's own copy of it is then used, after its fingerprint was compared. */
  readonly fingerprints: readonly Sha256[];
  readonly designations: readonly Designation[];
  readonly builders: readonly string[];
  /** The release that is meant, so that an older genuine one is not taken for it. Undefined: any. */
  readonly version?: string;
  /** Media that the caller did not fetch; they are reported as not present instead of missing. */
  readonly without: readonly string[];
}

export const knownBuilders: readonly string[] = [LOCAL_BUILDER_ID, DAGGER_BUILDER_ID];
