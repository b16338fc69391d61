import { parseJson } from "./canonical-json.ts";
import { type Sha256, sha256 } from "./digest.ts";
import { anyObject, integer, list, literal, object, parseShape, type Shape, type TypeOf, table, text } from "./shape.ts";

// Documents of an OCI image layout; https://github.com/opencontainers/image-spec/tree/v1.1.1

export const OCI_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
/** The configuration of an artifact that has none (manifest.md, "Guidance for an Empty Descriptor"). */
export const OCI_EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
export const OCI_EMPTY_BLOB = "{}";
/** Annotation of a descriptor in an index: the tag. */
export const OCI_TAG = "org.opencontainers.image.ref.name";
const MAX_DOCUMENT_BYTES = 1 << 20;

const digestShape = text(/^sha256:[0-9a-f]{64}$/, 71);
const mediaTypeShape = text(/^[a-z]+\/[A-Za-z0-9.+_-]+$/, 128);
const annotationsShape = table(/^[!-~]{1,256}$/, text(/^[^\0]*$/, 64 << 10));
/** descriptor.md; URLs, which point elsewhere, have no place here. */
const descriptorShape = object(
  { mediaType: mediaTypeShape, digest: digestShape, size: integer(0) },
  { annotations: annotationsShape, artifactType: mediaTypeShape, platform: anyObject, data: text(/^[A-Za-z0-9+/=]*$/, 1 << 16) },
);
export type OciDescriptor = TypeOf<typeof descriptorShape>;

export const ociLayoutShape = object({ imageLayoutVersion: literal("1.0.0") });
export const ociIndexShape = object(
  { schemaVersion: literal(2), manifests: list(descriptorShape, { min: 1, max: 256 }) },
  { mediaType: mediaTypeShape, annotations: annotationsShape },
);
export type OciIndex = TypeOf<typeof ociIndexShape>;
export const ociManifestShape = object(
  { schemaVersion: literal(2), config: descriptorShape, layers: list(descriptorShape, { max: 256 }) },
  { mediaType: mediaTypeShape, annotations: annotationsShape, artifactType: mediaTypeShape, subject: descriptorShape },
);
export type OciManifest = TypeOf<typeof ociManifestShape>;

/** @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, SCHEMA_MISMATCH */
export function parseOciDocument<T>(shape: Shape<T>, bytes: Uint8Array, what: string): T {
  return parseShape(shape, parseJson(bytes, MAX_DOCUMENT_BYTES), what);
}

/** "sha256:ab12…" -> "ab12…", of a digest that a shape has accepted. */
export const hexOfDigest = (digest: string): Sha256 => digest.slice("sha256:".length) as Sha256;

export function describeOci(mediaType: string, content: Uint8Array): OciDescriptor {
  return { mediaType, digest: `sha256:${sha256(content)}`, size: content.length };
}
