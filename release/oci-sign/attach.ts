import { canonicalJson } from "@secai/formats/canonical-json";
import {
  describeOci,
  hexOfDigest,
  OCI_CONFIG_TYPE,
  OCI_EMPTY_BLOB,
  OCI_EMPTY_TYPE,
  OCI_MANIFEST_TYPE,
  OCI_TAG,
  type OciDescriptor,
  type OciIndex,
  type OciManifest,
} from "@secai/formats/oci";
import {
  BUNDLE_CONTENT_ANNOTATION,
  BUNDLE_PREDICATE_ANNOTATION,
  COSIGN_SIGN_PREDICATE,
  COSIGN_SIGNATURE_ANNOTATION,
  legacyTagOf,
  OCI_BUNDLE_TYPE,
  SIMPLE_SIGNING_TYPE,
} from "@secai/formats/oci-signature";

/** An index with what it newly names. Pure data: same signatures, same bytes. */
export interface Attachment {
  readonly index: OciIndex;
  /** By the digest of each ("sha256:…"). */
  readonly blobs: ReadonlyMap<string, Buffer>;
}

/** cosign marks image and signatures of a layout that it reads without a registry (`cosign verify --local-image`). */
const KIND = "kind";
const IMAGE_KIND = "dev.cosignproject.cosign/image";
const SIGNATURES_KIND = "dev.cosignproject.cosign/sigs";

/** A bundle as a manifest of its own that refers to the image; image-spec 1.1, manifest.md: `subject` and `artifactType`. */
export function attachBundle(index: OciIndex, image: OciDescriptor, bundle: Buffer): Attachment {
  const empty = Buffer.from(OCI_EMPTY_BLOB);
  const { mediaType, digest, size } = image;
  const manifest: OciManifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST_TYPE,
    artifactType: OCI_BUNDLE_TYPE,
    config: describeOci(OCI_EMPTY_TYPE, empty),
    layers: [describeOci(OCI_BUNDLE_TYPE, bundle)],
    subject: { mediaType, digest, size },
    annotations: { [BUNDLE_CONTENT_ANNOTATION]: "dsse-envelope", [BUNDLE_PREDICATE_ANNOTATION]: COSIGN_SIGN_PREDICATE },
  };
  const bytes = Buffer.from(canonicalJson(manifest));
  const descriptor = { ...describeOci(OCI_MANIFEST_TYPE, bytes), artifactType: OCI_BUNDLE_TYPE };
  return { index: { ...index, manifests: [...index.manifests, descriptor] }, blobs: byDigest(empty, bundle, bytes) };
}

export interface LegacySignature {
  readonly payload: Buffer;
  /** ECDSA over the payload, DER. */
  readonly signature: Buffer;
}

/** The older attachment: a manifest tagged with the image's digest, one layer a signature. Earlier layers stay. */
export function attachLegacy(
  index: OciIndex,
  image: OciDescriptor,
  earlier: readonly OciDescriptor[],
  made: LegacySignature,
): Attachment {
  const layer = {
    ...describeOci(SIMPLE_SIGNING_TYPE, made.payload),
    annotations: { [COSIGN_SIGNATURE_ANNOTATION]: made.signature.toString("base64") },
  };
  const layers = [...earlier, layer];
  const config = Buffer.from(canonicalJson(emptyImage(layers.map(({ digest }) => digest))));
  const manifest: OciManifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST_TYPE,
    config: describeOci(OCI_CONFIG_TYPE, config),
    layers,
  };
  const bytes = Buffer.from(canonicalJson(manifest));
  const tag = legacyTagOf(hexOfDigest(image.digest));
  const descriptor = { ...describeOci(OCI_MANIFEST_TYPE, bytes), annotations: { [KIND]: SIGNATURES_KIND, [OCI_TAG]: tag } };
  const others = index.manifests.filter(({ annotations }) => annotations?.[OCI_TAG] !== tag).map((one) => marked(one, image));
  return { index: { ...index, manifests: [...others, descriptor] }, blobs: byDigest(made.payload, config, bytes) };
}

function marked(descriptor: OciDescriptor, image: OciDescriptor): OciDescriptor {
  return descriptor.digest === image.digest
    ? { ...descriptor, annotations: { ...descriptor.annotations, [KIND]: IMAGE_KIND } }
    : descriptor;
}

/** A configuration that describes no program, as cosign writes it; readers only count its layers. */
function emptyImage(diffIds: readonly string[]) {
  const never = "0001-01-01T00:00:00Z";
  return { architecture: "", config: {}, created: never, os: "", rootfs: { type: "layers", diff_ids: diffIds } };
}

const byDigest = (...blobs: readonly Buffer[]) => new Map(blobs.map((blob) => [describeOci("", blob).digest, blob]));
