import { parseJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { hexOfDigest, type OciDescriptor, ociIndexShape, ociManifestShape, parseOciDocument } from "@secai/formats/oci";
import { bodyOf, type HttpClient } from "../fetch/http.ts";
import type { Mirrors } from "../fetch/mirrors.ts";
import { splitRepository } from "../steps/silverblue.ts";
import type { LockedBlob } from "./bootc-lock.ts";
import { firstMirror } from "./downloads.ts";
import { LockError } from "./errors.ts";

/** The specification has registries refuse larger ones (distribution-spec v1.1, "Pushing Manifests"). */
const MAX_MANIFEST_BYTES = 4 << 20;
const MAX_CONFIG_BYTES = 4 << 20;
const INDEX_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
]);

/** Documents of one repository of a registry. */
export interface ImageReader {
  /** By tag, or by digest and then checked; undefined when there is none. */
  manifest(reference: string): Promise<Buffer | undefined>;
  /** The manifest that a descriptor names. @throws LockError LOCK_ARCHIVE_MALFORMED, LOCK_ARCHIVE_MISSING */
  manifestOf(descriptor: OciDescriptor): Promise<Buffer>;
  /** A small blob. @throws LockError LOCK_ARCHIVE_MALFORMED, LOCK_ARCHIVE_MISSING */
  blob(descriptor: OciDescriptor): Promise<Buffer>;
  /** What is attached to an image; undefined where the registry keeps no list. */
  referrers(digest: string): Promise<Buffer | undefined>;
}

const malformed = (expected: string, actual: string): LockError => new LockError("LOCK_ARCHIVE_MALFORMED", { expected, actual });

function checkDigest(bytes: Uint8Array, digest: string, what: string): void {
  const actual = `sha256:${sha256(bytes)}`;
  if (actual !== digest) throw malformed(`${what} with ${digest}`, actual);
}

/** @throws FetchError FETCH_MIRROR_UNKNOWN */
export function createImageReader(client: HttpClient, mirrors: Mirrors, repository: string, signal?: AbortSignal): ImageReader {
  const [registry, path] = splitRepository(repository);
  const base = firstMirror(mirrors, registry, `an address of the registry ${registry}`);
  const get = async (kind: string, reference: string, limit: number): Promise<Buffer | undefined> => {
    const url = `${base}${path}/${kind}/${reference}`;
    const answer = await client.get(url, signal === undefined ? {} : { signal });
    const told = answer.headers["docker-content-digest"];
    const bytes = await bodyOf(answer, url, limit);
    if (bytes === undefined) return undefined;
    // What the registry says of the bytes must hold; what was asked for by digest must be it.
    if (typeof told === "string" && told.startsWith("sha256:")) checkDigest(bytes, told, `${kind} ${reference} of ${repository}`);
    if (reference.startsWith("sha256:") && kind !== "referrers") checkDigest(bytes, reference, `${kind} of ${repository}`);
    return bytes;
  };
  const described = async (kind: string, { digest, size }: OciDescriptor, limit: number): Promise<Buffer> => {
    if (size > limit) throw malformed(`${digest} of ${repository} in at most ${limit} bytes`, `${size}`);
    const bytes = await get(kind, digest, limit);
    if (bytes === undefined) throw new LockError("LOCK_ARCHIVE_MISSING", { expected: `${repository}@${digest}`, actual: "none" });
    if (bytes.length !== size) throw malformed(`${size} bytes of ${digest}`, `${bytes.length}`);
    return bytes;
  };
  return {
    manifest: (reference) => get("manifests", reference, MAX_MANIFEST_BYTES),
    manifestOf: (descriptor) => described("manifests", descriptor, MAX_MANIFEST_BYTES),
    blob: (descriptor) => described("blobs", descriptor, MAX_CONFIG_BYTES),
    referrers: (digest) => get("referrers", digest, MAX_MANIFEST_BYTES),
  };
}

/** An image of a registry, down to the digests of its blobs. */
export interface FoundImage {
  /** Of what the reference named: a manifest, or an index. */
  readonly digest: string;
  /** Every blob, what `digest` names first. */
  readonly blobs: readonly LockedBlob[];
  /** What the image says of itself. */
  readonly labels: Readonly<Record<string, string>>;
}

const blob = (kind: LockedBlob["kind"], digest: string, size: number): LockedBlob => ({
  kind,
  sha256: hexOfDigest(digest),
  size,
});

/** The one manifest of an index for the platform. */
function choose(index: Uint8Array, architecture: string, what: string): OciDescriptor {
  const { manifests } = parseOciDocument(ociIndexShape, index, `the index of ${what}`);
  const [only, ...others] = manifests.filter(
    ({ platform }) => platform?.os === "linux" && platform.architecture === architecture && platform.variant === undefined,
  );
  if (only === undefined || others.length > 0)
    throw malformed(`one image for linux/${architecture} in ${what}`, only === undefined ? "none" : `${others.length + 1}`);
  return only;
}

function labelsOf(config: Uint8Array, architecture: string, what: string): Record<string, string> {
  const value = parseJson(config, MAX_CONFIG_BYTES) as {
    readonly architecture?: unknown;
    readonly os?: unknown;
    readonly config?: { readonly Labels?: Readonly<Record<string, unknown>> | null } | null;
  };
  if (value.architecture !== architecture || value.os !== "linux")
    throw malformed(`${what} for linux/${architecture}`, `${String(value.os)}/${String(value.architecture)}`);
  const labels = Object.entries(value.config?.Labels ?? {});
  return Object.fromEntries(labels.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

/**
 * Reads what a tag or digest stands for now.
 * @throws LockError LOCK_ARCHIVE_MISSING, LOCK_ARCHIVE_MALFORMED; FetchError; FormatError for documents that are none
 */
export async function readImage(reader: ImageReader, reference: string, architecture: string, what: string): Promise<FoundImage> {
  const first = await reader.manifest(reference);
  if (first === undefined) throw new LockError("LOCK_ARCHIVE_MISSING", { expected: what, actual: "no such image" });
  const digest = `sha256:${sha256(first)}`;
  const { mediaType } = parseJson(first, MAX_MANIFEST_BYTES) as { readonly mediaType?: string };
  const chosen = mediaType !== undefined && INDEX_TYPES.has(mediaType) ? choose(first, architecture, what) : undefined;
  const bytes = chosen === undefined ? first : await reader.manifestOf(chosen);
  const { config, layers } = parseOciDocument(ociManifestShape, bytes, `the manifest of ${what}`);
  const labels = labelsOf(await reader.blob(config), architecture, what);
  const content = [config, ...layers].map((entry) => blob("blob", entry.digest, entry.size));
  const manifests = [
    blob("manifest", digest, first.length),
    ...(chosen === undefined ? [] : [blob("manifest", chosen.digest, chosen.size)]),
  ];
  // A layer may be named twice, as an empty one often is; it is fetched once.
  const seen = new Set<Sha256>();
  const blobs = [...manifests, ...content].filter((entry) => !seen.has(entry.sha256) && seen.add(entry.sha256));
  return { digest, blobs, labels };
}
