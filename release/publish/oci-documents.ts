import { canonicalJson, parseJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { fileNameShape } from "@secai/formats/file-name";
import type { Manifest } from "@secai/formats/manifest";
import { integer, list, literal, object, parseShape, type TypeOf, table, text } from "@secai/formats/shape";
import type { ReleaseFile } from "./contents.ts";
import { PublishError } from "./errors.ts";

// OCI Image Specification 1.1: image-layout.md, manifest.md ("Guidelines for Artifact Usage"), descriptor.md.
export const ARTIFACT_TYPE = "application/vnd.secai-os.release.v1";
export const FILE_TYPE = "application/vnd.secai-os.release.file.v1";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
/** The empty descriptor's content; its digest stands in the specification. */
export const EMPTY_BLOB = "{}";
export const LAYOUT_DOCUMENT = '{"imageLayoutVersion":"1.0.0"}';
const TITLE = "org.opencontainers.image.title";

/** Documents of a layout are a few hundred bytes a file. */
export const MAX_OCI_BYTES = 4 << 20;

const digest = text(/^sha256:[0-9a-f]{64}$/, 71);
const annotations = table(/^[!-~]{1,255}$/, text(/^[\s\S]*$/, 4096), { max: 64 });
const mediaType = text(/^[!-~]{1,255}$/, 255);
const descriptor = object({ mediaType, digest, size: integer(0) }, { annotations, artifactType: mediaType });
export type Descriptor = TypeOf<typeof descriptor>;
const layoutShape = object({ imageLayoutVersion: literal("1.0.0") });
const indexShape = object(
  { schemaVersion: literal(2), manifests: list(descriptor, { min: 1, max: 64 }) },
  { mediaType: literal(INDEX_TYPE), annotations },
);
const layer = object({
  mediaType: literal(FILE_TYPE),
  digest,
  size: integer(0),
  annotations: object({ [TITLE]: fileNameShape }),
});
const artifactShape = object({
  schemaVersion: literal(2),
  mediaType: literal(MANIFEST_TYPE),
  artifactType: literal(ARTIFACT_TYPE),
  config: descriptor,
  layers: list(layer, { min: 1, max: 4096 }),
  annotations,
});

/** What a layout holds besides the files: documents by digest, and the index that names them. */
export interface LayoutDocuments {
  readonly index: string;
  readonly manifest: string;
}

/** Pure: the OCI documents of a release. Same release, same bytes. */
export function buildLayout(files: readonly ReleaseFile[], release: Manifest): LayoutDocuments {
  const manifest = canonicalJson({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType: ARTIFACT_TYPE,
    config: describe(EMPTY_TYPE, EMPTY_BLOB),
    layers: files.map(({ name, sha256: hash, size }) => ({
      mediaType: FILE_TYPE,
      digest: `sha256:${hash}`,
      size,
      annotations: { [TITLE]: name },
    })),
    annotations: {
      [TITLE]: `${release.recipe} ${release.tag}`,
      "org.opencontainers.image.version": release.tag,
      "org.opencontainers.image.created": release.build.timestamp,
      ...(release.build.commit_sha !== undefined && { "org.opencontainers.image.revision": release.build.commit_sha }),
      "secai.designation": release.designation,
      "secai.image-digest": release.image.digest,
    },
  });
  const index = canonicalJson({
    schemaVersion: 2,
    mediaType: INDEX_TYPE,
    manifests: [
      {
        ...describe(MANIFEST_TYPE, manifest),
        artifactType: ARTIFACT_TYPE,
        // A reference name knows no tilde (image-layout.md, annotations.md).
        annotations: { "org.opencontainers.image.ref.name": release.tag.replaceAll("~", "_") },
      },
    ],
  });
  return { index, manifest };
}

const describe = (type: string, content: string) => ({
  mediaType: type,
  digest: `sha256:${sha256(content)}`,
  size: Buffer.byteLength(content),
});

export const hexOf = ({ digest: of }: Pick<Descriptor, "digest">): string => of.slice("sha256:".length);

/** Manifests that an index names. @throws FormatError, PublishError PUBLISH_SOURCE_MALFORMED */
export function parseIndex(layout: Uint8Array, index: Uint8Array): readonly Descriptor[] {
  parseShape(layoutShape, parseJson(layout, MAX_OCI_BYTES), "an OCI layout, version 1.0.0");
  return parseShape(indexShape, parseJson(index, MAX_OCI_BYTES), "an OCI index").manifests.filter(
    (manifest) => manifest.mediaType === MANIFEST_TYPE,
  );
}

/** The files of a release artifact, or undefined for an artifact of another type. @throws FormatError, PublishError PUBLISH_SOURCE_MALFORMED */
export function parseArtifact(
  bytes: Uint8Array,
): readonly { readonly name: string; readonly size: number; readonly sha256: string }[] | undefined {
  const document = parseJson(bytes, MAX_OCI_BYTES);
  if ((Object(document) as { artifactType?: unknown }).artifactType !== ARTIFACT_TYPE) return undefined;
  const { layers } = parseShape(artifactShape, document, "a release artifact");
  const files = layers.map((one) => ({ name: one.annotations[TITLE] ?? "", size: one.size, sha256: hexOf(one) }));
  if (new Set(files.map(({ name }) => name)).size !== files.length)
    throw new PublishError("PUBLISH_SOURCE_MALFORMED", { expected: "every file once", actual: "a name twice" });
  return files;
}
