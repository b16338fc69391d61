import { BUNDLE_SUFFIX, MAX_BUNDLE_BYTES } from "./bundle.ts";
import { CHECKSUMS_FILE, MAX_CHECKSUMS_BYTES } from "./checksums.ts";
import { MAX_PAYLOAD_BYTES } from "./dsse.ts";
import { FormatError } from "./errors.ts";
import { MAX_KEY_FILE_BYTES } from "./keys.ts";

/** What a file of a release directory is for. */
export type Role =
  | "disk"
  | "disk-qcow2"
  | "disk-ova"
  | "installer-iso"
  | "oci"
  | "oci-index"
  | "oci-blob"
  | "uki"
  | "boot-loader"
  | "root-hash"
  | "image-digest"
  | "measurements"
  | "keylime"
  | "baseline"
  | "service"
  | "image-sbom"
  | "image-sbom-xml"
  | "service-sbom"
  | "extension-sbom"
  | "gpu-backends"
  | "vex"
  | "vex-cyclonedx"
  | "provenance"
  | "test-result"
  | "secure-boot-key"
  | "pcr-key"
  | "release-key"
  | "key-manifest"
  | "old-key-manifest"
  | "channel"
  | "bundle"
  | "manifest"
  | "checksums"
  | "checksums-bundle";

export interface Place {
  readonly role: Role;
  readonly pattern: RegExp;
  /** `medium`: may be left out of a release that says so; `any`: as many as there are. */
  readonly presence: "required" | "medium" | "any";
  /** Readers refuse a larger one; undefined for files that are only hashed, never parsed. */
  readonly parsedUpTo?: number;
}

export const MANIFEST_FILE = "RELEASE_MANIFEST.json";
export const PROVENANCE_FILE = "provenance.intoto.json";
export const MEASUREMENTS_FILE = "measurements.json";
export const KEYLIME_FILE = "keylime/measured-boot.json";
export const BASELINE_FILE = "baseline.json";
export const IMAGE_SBOM_FILE = "sbom/image.cdx.json";
export const IMAGE_SBOM_XML_FILE = "sbom/image.cdx.xml";
export const GPU_BACKENDS_FILE = "gpu-backends.json";
export const VEX_FILE = "vex/openvex.json";
export const VEX_CYCLONEDX_FILE = "vex/vex.cdx.json";
export const RELEASE_KEY_FILE = "keys/release.pub";
export const KEY_MANIFEST_FILE = "keys/keys.json";
export const CHANNEL_FILE = "channel.json";
export const ROOT_HASH_FILE = "ROOT_HASH";
export const IMAGE_DIGEST_FILE = "IMAGE_DIGEST";
export const DISK_FILE = "disk.raw.zst";
export const QCOW2_FILE = "disk.qcow2";
export const OVA_FILE = "disk.ova";
export const ISO_FILE = "installer.iso";
export const OCI_LAYOUT_FILE = "oci/oci-layout";
export const OCI_INDEX_FILE = "oci/index.json";
/** The OCI layout is one medium of several files; this name stands for all of them where media are named. */
export const OCI_MEDIUM = "oci";
export const UKI_FILE = "uki.efi";
/** Of every architecture: the name says what it is for, its header says which. */
export const BOOT_LOADER_FILE = "bootx64.efi";
/** What people boot or install, by the name that a manifest's `absent` and a caller's `--without` use. */
export const MEDIA = [DISK_FILE, QCOW2_FILE, OVA_FILE, ISO_FILE, OCI_MEDIUM] as const;

/** Manifest and configuration of an OCI image are small; its layers are only hashed. */
export const MAX_OCI_DOCUMENT_BYTES = 1 << 20;

export const bundleOf = (name: string): string => `${name}${BUNDLE_SUFFIX}`;
/** Of a second or later signer: `tag` is the start of its key's fingerprint, 16 hex digits. */
export const furtherBundleOf = (name: string, tag: string): string => `${name}.${tag}${BUNDLE_SUFFIX}`;
const BUNDLE_NAME = /^(.+?)(?:\.([0-9a-f]{16}))?\.sigstore\.json$/;

/** The file that a bundle is for, by the bundle's name alone. */
export function signedFileOf(bundle: string): string | undefined {
  return BUNDLE_NAME.exec(bundle)?.[1];
}

const exactly = (name: string) => new RegExp(`^${name.replaceAll(/[.+]/g, "\\$&")}$`);
const SERVICE = "[a-z0-9][a-z0-9-]{0,63}";
const required = (role: Role, name: string, parsedUpTo?: number): Place => place(role, name, "required", parsedUpTo);
const place = (role: Role, name: string, presence: Place["presence"], parsedUpTo?: number): Place => ({
  role,
  pattern: exactly(name),
  presence,
  ...(parsedUpTo !== undefined && { parsedUpTo }),
});
const many = (role: Role, pattern: RegExp, parsedUpTo?: number): Place => ({
  role,
  pattern,
  presence: "any",
  ...(parsedUpTo !== undefined && { parsedUpTo }),
});

/** Every file a release may hold, bundles aside. What has no place here has no place in a release. The first match counts. */
export const releasePlaces: readonly Place[] = [
  required("disk", DISK_FILE),
  place("disk-qcow2", QCOW2_FILE, "medium"),
  place("disk-ova", OVA_FILE, "any"),
  place("installer-iso", ISO_FILE, "any"),
  place("oci", OCI_LAYOUT_FILE, "any", 1024),
  place("oci-index", OCI_INDEX_FILE, "any", MAX_OCI_DOCUMENT_BYTES),
  many("oci-blob", /^oci\/blobs\/sha256\/[0-9a-f]{64}$/),
  required("uki", UKI_FILE),
  required("boot-loader", BOOT_LOADER_FILE),
  required("root-hash", ROOT_HASH_FILE, 128),
  required("image-digest", IMAGE_DIGEST_FILE, 128),
  required("measurements", MEASUREMENTS_FILE, 1 << 20),
  place("keylime", KEYLIME_FILE, "any", 1 << 20),
  place("baseline", BASELINE_FILE, "any", 16 << 20),
  many("service", new RegExp(`^services/${SERVICE}\\.mjs$`)),
  required("image-sbom", IMAGE_SBOM_FILE, MAX_PAYLOAD_BYTES),
  place("image-sbom-xml", IMAGE_SBOM_XML_FILE, "any", MAX_PAYLOAD_BYTES),
  many("extension-sbom", /^sbom\/extension\.[a-z][a-z0-9]{0,11}\.cdx\.json$/, MAX_PAYLOAD_BYTES),
  many("service-sbom", new RegExp(`^sbom/${SERVICE}\\.cdx\\.json$`), 16 << 20),
  place("gpu-backends", GPU_BACKENDS_FILE, "any", 1 << 20),
  place("vex", VEX_FILE, "any", 4 << 20),
  place("vex-cyclonedx", VEX_CYCLONEDX_FILE, "any", 4 << 20),
  required("provenance", PROVENANCE_FILE, MAX_PAYLOAD_BYTES),
  many("test-result", /^tests\/[a-z0-9][a-z0-9-]{0,63}\.json$/, 4 << 20),
  ...["PK", "KEK", "db"].map((name) => required("secure-boot-key", `keys/${name}.crt`, 64 << 10)),
  required("pcr-key", "keys/pcr.pub", MAX_KEY_FILE_BYTES),
  required("release-key", RELEASE_KEY_FILE, MAX_KEY_FILE_BYTES),
  place("key-manifest", KEY_MANIFEST_FILE, "any", 1 << 20),
  many("old-key-manifest", /^keys\/history\/[1-9][0-9]{0,5}\.json$/, 1 << 20),
  place("channel", CHANNEL_FILE, "any", 1 << 16),
  required("manifest", MANIFEST_FILE, 4 << 20),
  required("checksums", CHECKSUMS_FILE, MAX_CHECKSUMS_BYTES),
];

/** The place of a file, or undefined when it has none. */
export function placeOf(name: string): Place | undefined {
  return releasePlaces.find(({ pattern }) => pattern.test(name)) ?? bundlePlaceOf(name);
}

function bundlePlaceOf(name: string): Place | undefined {
  const file = signedFileOf(name);
  if (file === undefined) return undefined;
  const common = { pattern: exactly(name), presence: "any" } as const;
  if (file === CHECKSUMS_FILE) return { ...common, role: "checksums-bundle", parsedUpTo: 1 << 16 };
  const role = releasePlaces.find(({ pattern }) => pattern.test(file))?.role;
  return role !== undefined && hasBundle(role) ? { ...common, role: "bundle", parsedUpTo: MAX_BUNDLE_BYTES } : undefined;
}

/** Files that carry bundles of their own, so that each can be handed on alone. */
const SIGNED_ROLES: ReadonlySet<Role> = new Set<Role>([
  "provenance",
  "measurements",
  "image-sbom",
  "service-sbom",
  "extension-sbom",
  "baseline",
  "vex",
  "test-result",
  "key-manifest",
  "old-key-manifest",
  "channel",
  "manifest",
]);
export const hasBundle = (role: Role): boolean => SIGNED_ROLES.has(role);
export const isSignedFile = (name: string): boolean => name !== CHECKSUMS_FILE && hasBundle(placeOf(name)?.role ?? "disk");

/** @throws FormatError FILE_UNKNOWN */
export function roleOf(name: string): Role {
  const found = placeOf(name);
  if (found === undefined)
    throw new FormatError("FILE_UNKNOWN", { expected: "a file of a release", actual: JSON.stringify(name) });
  return found.role;
}

/**
 * A bundle of a second or later signer. Who signs later cannot list what the first has listed already, so nothing lists these: each must
 * hold a signature that counts, and taking one away shows where more than one signer is needed.
 */
export const isFurtherBundle = (name: string): boolean => BUNDLE_NAME.exec(name)?.[2] !== undefined;

/** Whether the manifest lists the file: all but itself with its bundles, and the checksums that cover them with theirs. */
export function isListed(name: string): boolean {
  return isChecksummed(name) && name !== MANIFEST_FILE && signedFileOf(name) !== MANIFEST_FILE;
}

/** Whether SHA256SUMS lists the file: all but itself, its own bundles and those of later signers. */
export function isChecksummed(name: string): boolean {
  return !isFurtherBundle(name) && name !== CHECKSUMS_FILE && signedFileOf(name) !== CHECKSUMS_FILE;
}

/** The name by which media are left out and declared absent, or undefined for a file that is no medium. */
export function mediumOf(name: string): string | undefined {
  if (name === OCI_MEDIUM || name.startsWith("oci/")) return OCI_MEDIUM;
  return MEDIA.find((medium) => medium === name);
}
