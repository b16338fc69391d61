import { parseJson } from "@secai/formats/canonical-json";
import { MAX_OCI_DOCUMENT_BYTES, OCI_INDEX_FILE, OCI_LAYOUT_FILE } from "@secai/formats/release-layout";
import {
  anyObject,
  integer,
  list,
  literal,
  object,
  parseShape,
  type Shape,
  type TypeOf,
  table,
  text,
} from "@secai/formats/shape";
import { VerifyFormatError } from "./format-errors.ts";
import type { FileFact, Inventory } from "./inventory.ts";

/** Annotation of an image manifest: the digest of the disk that the image holds, as IMAGE_DIGEST has it. */
export const IMAGE_DIGEST_ANNOTATION = "secai.image-digest";

const digestShape = text(/^sha256:[0-9a-f]{64}$/, 71);
const mediaTypeShape = text(/^[a-z]+\/[A-Za-z0-9.+_-]+$/, 128);
const annotationsShape = table(/^[!-~]{1,256}$/, text(/^[^\0]*$/, 64 << 10));
/** https://github.com/opencontainers/image-spec/blob/main/descriptor.md; URLs, which point elsewhere, have no place here. */
const descriptorShape = object(
  { mediaType: mediaTypeShape, digest: digestShape, size: integer(0) },
  { annotations: annotationsShape, artifactType: mediaTypeShape, platform: anyObject, data: text(/^[A-Za-z0-9+/=]*$/, 1 << 16) },
);
export type Descriptor = TypeOf<typeof descriptorShape>;

const layoutShape = object({ imageLayoutVersion: literal("1.0.0") });
const indexShape = object(
  { schemaVersion: literal(2), manifests: list(descriptorShape, { min: 1, max: 256 }) },
  { mediaType: mediaTypeShape, annotations: annotationsShape },
);
const manifestShape = object(
  { schemaVersion: literal(2), config: descriptorShape, layers: list(descriptorShape, { max: 256 }) },
  { mediaType: mediaTypeShape, annotations: annotationsShape, artifactType: mediaTypeShape, subject: descriptorShape },
);

export interface OciManifest {
  readonly descriptor: Descriptor;
  readonly document: TypeOf<typeof manifestShape>;
}

export interface OciLayout {
  /** Every manifest that the index names: the image, and what is attached to it. */
  readonly manifests: readonly OciManifest[];
  /** Every blob that something names, the manifests included. */
  readonly named: readonly Descriptor[];
}

export const blobName = (digest: string) => `oci/blobs/sha256/${digest.replace(/^sha256:/, "")}`;

/**
 * The documents of an OCI image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md), from bytes that were
 * hashed. A blob that is not there is only missing from `manifests`.
 * @throws VerifyFormatError OCI_MALFORMED
 */
export function readImageLayout({ files }: Inventory): OciLayout {
  read(layoutShape, files.get(OCI_LAYOUT_FILE), OCI_LAYOUT_FILE);
  const index = read(indexShape, files.get(OCI_INDEX_FILE), OCI_INDEX_FILE);
  const manifests = index.manifests.flatMap((descriptor): readonly OciManifest[] => {
    const name = blobName(descriptor.digest);
    const blob = files.get(name);
    return blob === undefined ? [] : [{ descriptor, document: read(manifestShape, blob, name) }];
  });
  const inner = manifests.flatMap(({ document: { config, layers, subject } }) => [
    config,
    ...layers,
    ...(subject ? [subject] : []),
  ]);
  return { manifests, named: [...index.manifests, ...inner] };
}

function read<T>(shape: Shape<T>, file: FileFact | undefined, name: string): T {
  if (file?.bytes === undefined)
    throw new VerifyFormatError("OCI_MALFORMED", {
      expected: `${name} of at most ${MAX_OCI_DOCUMENT_BYTES} bytes`,
      actual: file === undefined ? "no such file" : `${file.size} bytes`,
    });
  try {
    return parseShape(shape, parseJson(file.bytes, MAX_OCI_DOCUMENT_BYTES), name);
  } catch (cause) {
    throw new VerifyFormatError("OCI_MALFORMED", { expected: name, actual: (cause as Error).message, cause });
  }
}
