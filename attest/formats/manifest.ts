import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE } from "./checksums.ts";
import { designationShape } from "./designation.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { fileNameShape } from "./file-name.ts";
import {
  bundleOf,
  DISK_FILE,
  ISO_FILE,
  OCI_INDEX_FILE,
  OVA_FILE,
  PROVENANCE_FILE,
  QCOW2_FILE,
  RELEASE_KEY_FILE,
  type Role,
  roleOf,
} from "./release-layout.ts";
import { integer, list, literal, object, parseShape, type TypeOf, text } from "./shape.ts";
import { lineShape, nameShape, sha256Shape, timestampShape, uriShape, versionShape } from "./shapes.ts";
import { PROVENANCE_PREDICATE } from "./uris.ts";

/** 1 (a string) and 2 belong to the earlier system; 3 lists every file and its role. */
export const MANIFEST_SCHEMA = 3;

const digestOf = object({ name: fileNameShape, sha256: sha256Shape });
const medium = object({ name: fileNameShape, sha256: sha256Shape, size_bytes: integer(0) });
const file = object({ name: fileNameShape, role: text(/^[a-z0-9-]+$/, 32), sha256: sha256Shape, size: integer(0) });

export const manifestShape = object({
  schema_version: literal(MANIFEST_SCHEMA),
  tag: versionShape,
  recipe: nameShape,
  designation: designationShape,
  image: object({ name: fileNameShape, digest: text(/^sha256:[0-9a-f]{64}$/, 71), root_hash: sha256Shape }),
  deployment: object({ required_service_profile: literal("offline-private") }),
  binaries: list(digestOf),
  sboms: list(digestOf),
  trust_root: object({ name: fileNameShape, sha256: sha256Shape, fingerprint: sha256Shape }),
  install_artifacts: object({ raw_zst: medium }, { qcow2: medium, ova: medium, iso: medium, oci: medium }),
  vex: list(digestOf),
  tests: list(digestOf),
  /** What the sealed root is, who may sign, and which release is current: see the files named. */
  identity: object({}, { release_baseline: digestOf, key_manifest: digestOf, channel: digestOf }),
  provenance: object({ type: uriShape, file: fileNameShape, bundle: fileNameShape }),
  checksums: object({ file: fileNameShape, signature: fileNameShape }),
  build: object({ builder_id: uriShape, timestamp: timestampShape }, { commit_sha: text(/^[0-9a-f]{40}$/, 40) }),
  files: list(file, { min: 1 }),
  absent: list(object({ name: fileNameShape, reason: lineShape })),
});
export type Manifest = TypeOf<typeof manifestShape>;

export interface ListedFile {
  readonly name: string;
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

/** All that a manifest says; the rest of the document follows from it. */
export interface ManifestFacts {
  readonly recipe: string;
  readonly version: string;
  readonly designation: "dev" | "candidate" | "stable";
  readonly rootHash: string;
  readonly builderId: string;
  /** Seconds since 1970: the build's SOURCE_DATE_EPOCH, not a clock. */
  readonly sourceDateEpoch: number;
  readonly commitSha?: string;
  readonly keyFingerprint: string;
  /** Every file of the release but the manifest and the checksums with their bundle. */
  readonly files: readonly ListedFile[];
  /** Media that this release leaves out, and why. */
  readonly absent: readonly { readonly name: string; readonly reason: string }[];
}

/** @throws FormatError FILE_UNKNOWN (a file without a role), SCHEMA_MISMATCH */
export function buildManifest(facts: ManifestFacts): Manifest {
  const files = facts.files.map(({ name, sha256, size }) => ({ name, role: roleOf(name), sha256, size })).toSorted(byName);
  const having = (...roles: Role[]) =>
    files.filter(({ role }) => roles.includes(role)).map(({ name, sha256 }) => ({ name, sha256 }));
  const only = (role: Role) => having(role)[0];
  const medium = (wanted: string) => {
    const found = files.find(({ name }) => name === wanted);
    return found && { name: found.name, sha256: found.sha256, size_bytes: found.size };
  };
  const disk = medium(DISK_FILE);
  const key = files.find(({ name }) => name === RELEASE_KEY_FILE);
  const manifest = {
    schema_version: MANIFEST_SCHEMA,
    tag: facts.version,
    recipe: facts.recipe,
    designation: facts.designation,
    image: { name: DISK_FILE, digest: `sha256:${disk?.sha256}`, root_hash: facts.rootHash },
    deployment: { required_service_profile: "offline-private" },
    binaries: having("service"),
    sboms: having("image-sbom", "image-sbom-xml", "service-sbom", "extension-sbom"),
    trust_root: { name: RELEASE_KEY_FILE, sha256: key?.sha256, fingerprint: facts.keyFingerprint },
    install_artifacts: present({
      raw_zst: disk,
      qcow2: medium(QCOW2_FILE),
      ova: medium(OVA_FILE),
      iso: medium(ISO_FILE),
      oci: medium(OCI_INDEX_FILE),
    }),
    vex: having("vex", "vex-cyclonedx"),
    tests: having("test-result"),
    identity: present({ release_baseline: only("baseline"), key_manifest: only("key-manifest"), channel: only("channel") }),
    provenance: { type: PROVENANCE_PREDICATE, file: PROVENANCE_FILE, bundle: bundleOf(PROVENANCE_FILE) },
    checksums: { file: CHECKSUMS_FILE, signature: CHECKSUMS_BUNDLE },
    build: {
      builder_id: facts.builderId,
      timestamp: new Date(facts.sourceDateEpoch * 1000).toISOString().replace(".000Z", "Z"),
      ...(facts.commitSha !== undefined && { commit_sha: facts.commitSha }),
    },
    files,
    absent: facts.absent.toSorted(byName),
  };
  return parseShape(manifestShape, manifest, "a release manifest");
}

/** Without the members that are undefined. */
const present = (members: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

export const manifestBytes = (manifest: Manifest): Buffer => Buffer.from(`${canonicalJson(manifest)}\n`);

/**
 * A manifest that agrees with itself: what it says twice (lists by role, the image's digest) must follow from its list of files.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, DUPLICATE_ENTRY, FILE_UNKNOWN
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  const manifest = parseShape(manifestShape, parseCanonicalJson(bytes, 4 << 20), "a release manifest, schema 3");
  requireDistinct(
    [...manifest.files, ...manifest.absent].map(({ name }) => name),
    "files",
  );
  if (Number.isNaN(Date.parse(manifest.build.timestamp)))
    throw new FormatError("SCHEMA_MISMATCH", { expected: "a date", actual: manifest.build.timestamp });
  const expected = canonicalJson(buildManifest(factsOf(manifest)));
  if (canonicalJson(manifest) !== expected)
    throw new FormatError("SCHEMA_MISMATCH", {
      expected: "lists that follow from `files`",
      actual: "lists that disagree with it",
    });
  return manifest;
}

function factsOf(manifest: Manifest): ManifestFacts {
  const { commit_sha } = manifest.build;
  return {
    recipe: manifest.recipe,
    version: manifest.tag,
    designation: manifest.designation,
    rootHash: manifest.image.root_hash,
    builderId: manifest.build.builder_id,
    sourceDateEpoch: Date.parse(manifest.build.timestamp) / 1000,
    ...(commit_sha !== undefined && { commitSha: commit_sha }),
    keyFingerprint: manifest.trust_root.fingerprint,
    files: manifest.files,
    absent: manifest.absent,
  };
}

const byName = (a: { readonly name: string }, b: { readonly name: string }) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
