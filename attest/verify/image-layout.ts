import { FormatError } from "@secai/formats/errors";
import {
  type OciDescriptor,
  type OciManifest,
  ociIndexShape,
  ociLayoutShape,
  ociManifestShape,
  parseOciDocument,
} from "@secai/formats/oci";
import { MAX_OCI_DOCUMENT_BYTES, OCI_INDEX_FILE, OCI_LAYOUT_FILE } from "@secai/formats/release-layout";
import type { Shape } from "@secai/formats/shape";
import { VerifyFormatError } from "./format-errors.ts";
import type { FileFact, Inventory } from "./inventory.ts";

/** Annotation of an image manifest: the digest of the disk that the image holds, as IMAGE_DIGEST has it. */
export const IMAGE_DIGEST_ANNOTATION = "secai.image-digest";

export interface NamedManifest {
  readonly descriptor: OciDescriptor;
  readonly document: OciManifest;
}

export interface OciLayout {
  /** Every manifest that the index names: the image, and what is attached to it. */
  readonly manifests: readonly NamedManifest[];
  /** Every blob that something names, the manifests included. */
  readonly named: readonly OciDescriptor[];
}

export const blobName = (digest: string) => `oci/blobs/sha256/${digest.replace(/^sha256:/, "")}`;

/**
 * The documents of an OCI image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md), from bytes that were
 * hashed. A blob that is not there is only missing from `manifests`.
 * @throws VerifyFormatError OCI_MALFORMED
 */
export function readImageLayout({ files }: Inventory): OciLayout {
  read(ociLayoutShape, files.get(OCI_LAYOUT_FILE), OCI_LAYOUT_FILE);
  const index = read(ociIndexShape, files.get(OCI_INDEX_FILE), OCI_INDEX_FILE);
  const manifests = index.manifests.flatMap((descriptor): readonly NamedManifest[] => {
    const name = blobName(descriptor.digest);
    const blob = files.get(name);
    return blob === undefined ? [] : [{ descriptor, document: read(ociManifestShape, blob, name) }];
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
    return parseOciDocument(shape, file.bytes, name);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new VerifyFormatError("OCI_MALFORMED", { expected: cause.expected ?? name, actual: cause.actual ?? cause.code, cause });
  }
}
