import { BUNDLE_SUFFIX, MAX_BUNDLE_BYTES } from "./bundle.ts";
import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE, MAX_CHECKSUMS_BYTES } from "./checksums.ts";
import { MAX_PAYLOAD_BYTES } from "./dsse.ts";
import { FormatError } from "./errors.ts";
import { MAX_KEY_FILE_BYTES } from "./keys.ts";

/** What a file of a release directory is for. */
export type Role =
  | "disk"
  | "disk-qcow2"
  | "uki"
  | "boot-loader"
  | "root-hash"
  | "image-digest"
  | "measurements"
  | "service"
  | "image-sbom"
  | "service-sbom"
  | "provenance"
  | "secure-boot-key"
  | "pcr-key"
  | "release-key"
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
export const IMAGE_SBOM_FILE = "sbom/image.cdx.json";
export const RELEASE_KEY_FILE = "keys/release.pub";
export const ROOT_HASH_FILE = "ROOT_HASH";
export const IMAGE_DIGEST_FILE = "IMAGE_DIGEST";
export const DISK_FILE = "disk.raw.zst";
export const QCOW2_FILE = "disk.qcow2";
export const UKI_FILE = "uki.efi";
export const BOOT_LOADER_FILE = "bootx64.efi";

/** Files that carry a bundle of their own, so that each can be handed on alone. */
export const SIGNED_FILES = [PROVENANCE_FILE, MEASUREMENTS_FILE, IMAGE_SBOM_FILE] as const;
export const bundleOf = (name: string): string => `${name}${BUNDLE_SUFFIX}`;

const exactly = (name: string) => new RegExp(`^${name.replaceAll(/[.+]/g, "\\$&")}$`);
const SERVICE = "[a-z0-9][a-z0-9-]{0,63}";

/** Every file a release may hold. What has no place here has no place in a release. The first match counts. */
export const releasePlaces: readonly Place[] = [
  { role: "disk", pattern: exactly(DISK_FILE), presence: "required" },
  { role: "disk-qcow2", pattern: exactly(QCOW2_FILE), presence: "medium" },
  { role: "uki", pattern: exactly(UKI_FILE), presence: "required" },
  { role: "boot-loader", pattern: exactly(BOOT_LOADER_FILE), presence: "required" },
  { role: "root-hash", pattern: exactly(ROOT_HASH_FILE), presence: "required", parsedUpTo: 128 },
  { role: "image-digest", pattern: exactly(IMAGE_DIGEST_FILE), presence: "required", parsedUpTo: 128 },
  { role: "measurements", pattern: exactly(MEASUREMENTS_FILE), presence: "required", parsedUpTo: 1 << 20 },
  { role: "service", pattern: new RegExp(`^services/${SERVICE}\\.mjs$`), presence: "any" },
  { role: "image-sbom", pattern: exactly(IMAGE_SBOM_FILE), presence: "required", parsedUpTo: MAX_PAYLOAD_BYTES },
  { role: "service-sbom", pattern: new RegExp(`^sbom/${SERVICE}\\.cdx\\.json$`), presence: "any", parsedUpTo: 16 << 20 },
  { role: "provenance", pattern: exactly(PROVENANCE_FILE), presence: "required", parsedUpTo: MAX_PAYLOAD_BYTES },
  ...["PK", "KEK", "db"].map(
    (name): Place => ({ role: "secure-boot-key", pattern: exactly(`keys/${name}.crt`), presence: "required" }),
  ),
  { role: "pcr-key", pattern: exactly("keys/pcr.pub"), presence: "required" },
  { role: "release-key", pattern: exactly(RELEASE_KEY_FILE), presence: "required", parsedUpTo: MAX_KEY_FILE_BYTES },
  ...SIGNED_FILES.map(
    (name): Place => ({ role: "bundle", pattern: exactly(bundleOf(name)), presence: "required", parsedUpTo: MAX_BUNDLE_BYTES }),
  ),
  { role: "manifest", pattern: exactly(MANIFEST_FILE), presence: "required", parsedUpTo: 4 << 20 },
  { role: "checksums", pattern: exactly(CHECKSUMS_FILE), presence: "required", parsedUpTo: MAX_CHECKSUMS_BYTES },
  { role: "checksums-bundle", pattern: exactly(CHECKSUMS_BUNDLE), presence: "required", parsedUpTo: 1 << 16 },
];

/** The place of a file, or undefined when it has none. */
export function placeOf(name: string): Place | undefined {
  return releasePlaces.find(({ pattern }) => pattern.test(name));
}

/** @throws FormatError FILE_UNKNOWN */
export function roleOf(name: string): Role {
  const place = placeOf(name);
  if (place === undefined)
    throw new FormatError("FILE_UNKNOWN", { expected: "a file of a release", actual: JSON.stringify(name) });
  return place.role;
}

/** Whether the manifest lists the file: all but itself and the list that covers it. */
export function isListed(name: string): boolean {
  return name !== MANIFEST_FILE && name !== CHECKSUMS_FILE && name !== CHECKSUMS_BUNDLE;
}
