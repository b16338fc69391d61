import { DISK_FILE, hasBundle, KEY_MANIFEST_FILE, MANIFEST_FILE, placeOf, type Role, UKI_FILE } from "./release-layout.ts";
import {
  BASELINE_PREDICATE,
  CHANNEL_PREDICATE,
  CYCLONEDX_PREDICATE,
  KEYS_PREDICATE,
  MEASURED_BOOT_PREDICATE,
  OPENVEX_PREDICATE,
  PROVENANCE_PREDICATE,
  RELEASE_PREDICATE,
  TEST_RESULT_PREDICATE,
} from "./uris.ts";

/** Whose signature counts: the role of a key manifest. */
export type SignerRole = "release" | "channel" | "root";

/** The statement that the bundles of one file of a release carry. */
export interface FileStatement {
  readonly predicateType: string;
  readonly signer: SignerRole;
  /** Where the statement is: the file is the predicate, the file is the whole statement, or the predicate is made from the manifest. */
  readonly from: "predicate" | "statement" | "manifest";
  /** Files it must be about, and no others; undefined for provenance, which names everything that was built. */
  readonly subjects: readonly string[] | undefined;
}

const about = (predicateType: string, ...subjects: string[]): FileStatement => ({
  predicateType,
  signer: "release",
  from: "predicate",
  subjects,
});

const byRole: Partial<Record<Role, (name: string) => FileStatement>> = {
  provenance: () => ({ predicateType: PROVENANCE_PREDICATE, signer: "release", from: "statement", subjects: undefined }),
  measurements: () => about(MEASURED_BOOT_PREDICATE, DISK_FILE, UKI_FILE),
  "image-sbom": () => about(CYCLONEDX_PREDICATE, DISK_FILE),
  "service-sbom": (name) => about(CYCLONEDX_PREDICATE, name.replace(/^sbom\/(.+)\.cdx\.json$/, "services/$1.mjs")),
  "extension-sbom": () => about(CYCLONEDX_PREDICATE, DISK_FILE),
  baseline: () => about(BASELINE_PREDICATE, DISK_FILE),
  vex: () => about(OPENVEX_PREDICATE, DISK_FILE),
  "test-result": () => about(TEST_RESULT_PREDICATE, DISK_FILE),
  "key-manifest": () => ({ ...about(KEYS_PREDICATE, KEY_MANIFEST_FILE), signer: "root" }),
  // Signed when it was the current one, under the name it had then.
  "old-key-manifest": () => ({ ...about(KEYS_PREDICATE, KEY_MANIFEST_FILE), signer: "root" }),
  channel: () => ({ ...about(CHANNEL_PREDICATE, DISK_FILE), signer: "channel" }),
  manifest: () => ({ ...about(RELEASE_PREDICATE, DISK_FILE, MANIFEST_FILE), from: "manifest" }),
};

/** The statement that belongs to a file of a release; undefined for files that only the checksums sign. */
export function statementOf(name: string): FileStatement | undefined {
  const role = placeOf(name)?.role;
  return role !== undefined && hasBundle(role) ? byRole[role]?.(name) : undefined;
}
