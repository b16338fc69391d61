import { parseBase64 } from "@secai/formats/base64";
import { parseForeignBundle } from "@secai/formats/bundle";
import { type JsonValue, parseJson } from "@secai/formats/canonical-json";
import type { PublicKey } from "@secai/formats/keys";
import { ociIndexShape, ociManifestShape, parseOciDocument } from "@secai/formats/oci";
import {
  COSIGN_SIGN_PREDICATE,
  COSIGN_SIGNATURE_ANNOTATION,
  legacyTagOf,
  OCI_BUNDLE_TYPE,
  SIMPLE_SIGNING_TYPE,
} from "@secai/formats/oci-signature";
import { anyObject, literal, nullable, object, parseShape, text } from "@secai/formats/shape";
import { isSignature, verifyStatementBundle } from "@secai/formats/signature";
import { parseStatement } from "@secai/formats/statement";
import { LockError } from "./errors.ts";
import type { ImageReader } from "./registry-image.ts";

/**
 * Simple signing as cosign writes it: https://github.com/containers/image/blob/main/docs/containers-signature.5.md. Of the optional part,
 * which says nothing that we rely on, only that it is an object or null.
 */
const payloadShape = object(
  {
    critical: object({
      identity: object({ "docker-reference": text(/^[!-~]{0,255}$/, 255) }),
      image: object({ "docker-manifest-digest": text(/^sha256:[0-9a-f]{64}$/, 71) }),
      type: literal("cosign container image signature"),
    }),
  },
  { optional: nullable(anyObject) },
);
const MAX_PAYLOAD_BYTES = 64 << 10;

export interface SignedImage {
  readonly repository: string;
  /** "sha256:" and hex: what the signature must be about. */
  readonly digest: string;
}

/** "ghcr.io/owner/name:tag" -> "ghcr.io/owner/name": some signers sign the reference they pushed, tag included. */
const withoutTag = (reference: string): string => reference.replace(/(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$/, "");

/** @returns why the payload is not about the image; undefined when it is */
function payloadFault(payload: Uint8Array, { repository, digest }: SignedImage): string | undefined {
  const value: JsonValue = parseJson(payload, MAX_PAYLOAD_BYTES);
  const { critical } = parseShape(payloadShape, value, "a simple signing payload");
  const said = critical.image["docker-manifest-digest"];
  const reference = withoutTag(critical.identity["docker-reference"]);
  if (said !== digest) return `a signature of ${said}`;
  return reference === repository ? undefined : `a signature for ${reference}`;
}

/** The older attachment, a manifest under a tag made of the image's digest. */
async function hasLegacySignature(reader: ImageReader, image: SignedImage, key: PublicKey, faults: string[]): Promise<boolean> {
  const bytes = await reader.manifest(legacyTagOf(hexOf(image)));
  if (bytes === undefined) return false;
  const { layers } = parseOciDocument(ociManifestShape, bytes, "the manifest of signatures");
  for (const layer of layers) {
    const signature = layer.annotations?.[COSIGN_SIGNATURE_ANNOTATION];
    if (layer.mediaType !== SIMPLE_SIGNING_TYPE || signature === undefined || layer.size > MAX_PAYLOAD_BYTES) continue;
    const payload = await reader.blob(layer);
    // The signature first: what nobody signed is not parsed.
    if (!isSignature(payload, parseBase64(signature), key)) faults.push("a signature by another key");
    else {
      const fault = payloadFault(payload, image);
      if (fault === undefined) return true;
      faults.push(fault);
    }
  }
  return false;
}

/** The newer one, a bundle in a manifest that refers to the image (distribution-spec v1.1, "Listing Referrers"). */
async function hasBundle(reader: ImageReader, image: SignedImage, key: PublicKey, faults: string[]): Promise<boolean> {
  const bytes = await reader.referrers(image.digest);
  if (bytes === undefined) return false;
  const { manifests } = parseOciDocument(ociIndexShape, bytes, "the list of referrers");
  for (const descriptor of manifests.filter(({ artifactType }) => artifactType === OCI_BUNDLE_TYPE)) {
    const { layers, subject } = parseOciDocument(ociManifestShape, await reader.manifestOf(descriptor), descriptor.digest);
    const [layer, ...more] = layers;
    if (subject?.digest !== image.digest || layer?.mediaType !== OCI_BUNDLE_TYPE || more.length > 0) continue;
    const bundle = parseForeignBundle(await reader.blob(layer));
    if (bundle.kind !== "statement") continue;
    try {
      const statement = parseStatement(verifyStatementBundle(bundle, key));
      const [only, ...others] = statement.subject;
      if (
        statement.predicateType === COSIGN_SIGN_PREDICATE &&
        `sha256:${only?.digest.sha256}` === image.digest &&
        others.length === 0
      )
        return true;
      faults.push(`a ${statement.predicateType} about ${only?.digest.sha256}`);
    } catch (error) {
      faults.push((error as Error).message);
    }
  }
  return false;
}

const hexOf = ({ digest }: SignedImage) => digest.slice("sha256:".length) as Parameters<typeof legacyTagOf>[0];

/**
 * Whether `key` signed exactly this digest, for exactly this repository.
 * @throws LockError LOCK_IMAGE_UNSIGNED, LOCK_ARCHIVE_MALFORMED; FormatError for attachments that cannot be read
 */
export async function requireSigned(reader: ImageReader, image: SignedImage, key: PublicKey): Promise<void> {
  const faults: string[] = [];
  if (await hasLegacySignature(reader, image, key, faults)) return;
  if (await hasBundle(reader, image, key, faults)) return;
  throw new LockError("LOCK_IMAGE_UNSIGNED", {
    expected: `a signature of ${image.repository}@${image.digest} by key ${key.fingerprint.slice(0, 16)}`,
    actual: faults.length === 0 ? "no signature" : faults.slice(0, 3).join("; ").slice(0, 300),
  });
}
