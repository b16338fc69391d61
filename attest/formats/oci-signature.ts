import { BUNDLE_MEDIA_TYPE } from "./bundle.ts";
import { canonicalJson, parseJson } from "./canonical-json.ts";
import type { Sha256 } from "./digest.ts";
import { literal, object, parseShape, text } from "./shape.ts";

/** Artifact and layer type of a signature as cosign 3 attaches it: a bundle in a manifest whose `subject` is the image. */
export const OCI_BUNDLE_TYPE = BUNDLE_MEDIA_TYPE;
/** Annotations by which readers choose among bundles without fetching them. */
export const BUNDLE_CONTENT_ANNOTATION = "dev.sigstore.bundle.content";
export const BUNDLE_PREDICATE_ANNOTATION = "dev.sigstore.bundle.predicateType";
/** The statement of such a bundle: this image was signed, and nothing else is said. */
export const COSIGN_SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1";

/** Layer type of the older attachment: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md */
export const SIMPLE_SIGNING_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";
export const COSIGN_SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature";
/** The tag under which it is found beside the image. */
export const legacyTagOf = (imageDigest: Sha256): string => `sha256-${imageDigest}.sig`;
export const LEGACY_TAG = /^sha256-([0-9a-f]{64})\.sig$/;

const MAX_PAYLOAD_BYTES = 4096;
/** A repository without tag or digest, host first, as container engines compare it. */
const REFERENCE = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(\/[a-z0-9]+([._-]+[a-z0-9]+)*)+$/;
const SIMPLE_SIGNING = "cosign container image signature";

/**
 * Simple signing: https://github.com/containers/image/blob/main/docs/containers-signature.5.md ("JSON Data Format"). Optional members are
 * not accepted: each would be a signed claim that nobody here reads.
 */
const payloadShape = object({
  critical: object({
    identity: object({ "docker-reference": text(REFERENCE, 255) }),
    image: object({ "docker-manifest-digest": text(/^sha256:[0-9a-f]{64}$/, 71) }),
    type: literal(SIMPLE_SIGNING),
  }),
  optional: object({}),
});

/** What a legacy signature says: this manifest is published as this repository. */
export interface SimpleSigning {
  readonly reference: string;
  /** "sha256:" and hex. */
  readonly manifestDigest: string;
}

/** @throws FormatError SCHEMA_MISMATCH on a reference that is none */
export function simpleSigningBytes({ reference, manifestDigest }: SimpleSigning): Buffer {
  const identity = { "docker-reference": reference };
  const payload = {
    critical: { identity, image: { "docker-manifest-digest": manifestDigest }, type: SIMPLE_SIGNING },
    optional: {},
  };
  return Buffer.from(canonicalJson(parseShape(payloadShape, payload, "a simple signing payload")));
}

/** @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, SCHEMA_MISMATCH */
export function parseSimpleSigning(bytes: Uint8Array): SimpleSigning {
  const { critical } = parseShape(payloadShape, parseJson(bytes, MAX_PAYLOAD_BYTES), "a simple signing payload");
  return { reference: critical.identity["docker-reference"], manifestDigest: critical.image["docker-manifest-digest"] };
}
