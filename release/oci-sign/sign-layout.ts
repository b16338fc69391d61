import { parseBase64 } from "@secai/formats/base64";
import { parseBundle } from "@secai/formats/bundle";
import { hintOf, type PublicKey } from "@secai/formats/keys";
import { hexOfDigest, OCI_TAG, type OciDescriptor } from "@secai/formats/oci";
import {
  COSIGN_SIGN_PREDICATE,
  COSIGN_SIGNATURE_ANNOTATION,
  legacyTagOf,
  simpleSigningBytes,
} from "@secai/formats/oci-signature";
import { isSignature } from "@secai/formats/signature";
import { buildStatement, subjectOf } from "@secai/formats/statement";
import type { Signer } from "@secai/sign/signer";
import { checkOciSignatures } from "@secai/verify/oci-signatures";
import { type Attachment, attachBundle, attachLegacy } from "./attach.ts";
import { OciSignError } from "./errors.ts";
import {
  blobFile,
  type Changes,
  indexBytes,
  isAttachment,
  type Layout,
  manifestIn,
  readLayout,
  writeLayout,
} from "./layout-files.ts";

export interface OciSignOptions {
  /** The repository under which the image will be published, e.g. "ghcr.io/owner/secai-os": container engines compare it. */
  readonly reference: string;
  readonly signers: readonly Signer[];
  /** Keys whose signatures are there already and stay. */
  readonly earlier?: readonly PublicKey[];
}

/**
 * Signs every image of an OCI image layout twice with each key: a Sigstore bundle that refers to the image, and the older attachment that
 * container engines verify (P-256 keys only). What a key has signed already it does not sign again. Everything is verified before the
 * first byte is written; the index is replaced last, so an interruption leaves at most blobs that nothing names.
 * @returns the names of the files written and removed, relative to `dir`
 * @throws OciSignError OCI_LAYOUT_UNREADABLE, OCI_SIGNER_UNSUITABLE, OCI_SIGNATURE_UNVERIFIED
 */
export async function signOciLayout(dir: string, options: OciSignOptions): Promise<Changes> {
  const keys = options.signers.map(keyOf);
  const all = [...keys, ...(options.earlier ?? [])];
  if (keys.length === 0 || !all.some(({ algorithm }) => algorithm === "ecdsa-p256"))
    throw new OciSignError("OCI_SIGNER_UNSUITABLE", { expected: "a P-256 key", actual: `${keys.length} other keys` });
  const before = await readLayout(dir);
  const after = await signImages(before, options);
  requireVerified(after, all, keys.length, options.reference);
  return await writeLayout(dir, before, after);
}

function keyOf({ publicKey }: Signer): PublicKey {
  if (publicKey !== undefined) return publicKey;
  throw new OciSignError("OCI_SIGNER_UNSUITABLE", { expected: "signers with keys", actual: "a keyless signer" });
}

async function signImages(layout: Layout, { signers, reference }: OciSignOptions): Promise<Layout> {
  let current = layout;
  for (const image of layout.index.manifests.filter((one) => !isAttachment(layout, one))) {
    for (const signer of signers) {
      if (!hasBundle(current, image, keyOf(signer))) current = merged(current, await bundleFor(current, image, signer));
      if (needsLegacy(current, image, keyOf(signer)))
        current = merged(current, await legacyFor(current, image, signer, reference));
    }
  }
  return current;
}

const merged = ({ blobs }: Layout, made: Attachment): Layout => ({
  index: made.index,
  blobs: new Map([...blobs, ...made.blobs]),
});

function hasBundle(layout: Layout, image: OciDescriptor, key: PublicKey): boolean {
  return layout.index.manifests
    .map((descriptor) => manifestIn(layout, descriptor))
    .filter(({ subject }) => subject?.digest === image.digest)
    .some(
      ({ layers: [layer] }) =>
        layer !== undefined && parseBundle(layout.blobs.get(layer.digest) ?? Buffer.of()).keyHint === hintOf(key),
    );
}

async function bundleFor({ index }: Layout, image: OciDescriptor, signer: Signer): Promise<Attachment> {
  const subject = subjectOf(`oci/${blobFile(image.digest)}`, hexOfDigest(image.digest));
  return attachBundle(index, image, await signer.signStatement(buildStatement(COSIGN_SIGN_PREDICATE, [subject], {})));
}

function legacyLayers(layout: Layout, image: OciDescriptor): readonly OciDescriptor[] {
  const tag = legacyTagOf(hexOfDigest(image.digest));
  const found = layout.index.manifests.find(({ annotations }) => annotations?.[OCI_TAG] === tag);
  return found === undefined ? [] : manifestIn(layout, found).layers;
}

function needsLegacy(layout: Layout, image: OciDescriptor, key: PublicKey): boolean {
  if (key.algorithm !== "ecdsa-p256") return false;
  const signatureIn = ({ annotations }: OciDescriptor) => parseBase64(annotations?.[COSIGN_SIGNATURE_ANNOTATION] ?? "");
  return !legacyLayers(layout, image).some((layer) =>
    isSignature(layout.blobs.get(layer.digest) ?? Buffer.of(), signatureIn(layer), key),
  );
}

async function legacyFor(layout: Layout, image: OciDescriptor, { sign }: Signer, reference: string): Promise<Attachment> {
  const payload = simpleSigningBytes({ reference, manifestDigest: image.digest });
  const signature = (await sign?.(payload)) ?? Buffer.of();
  return attachLegacy(layout.index, image, legacyLayers(layout, image), { payload, signature });
}

/** As a stranger would, over the very bytes that will be written. */
function requireVerified(layout: Layout, keys: readonly PublicKey[], threshold: number, reference: string): void {
  const files = (name: string) =>
    name === "index.json" ? indexBytes(layout) : layout.blobs.get(`sha256:${name.slice("blobs/sha256/".length)}`);
  const { faults } = checkOciSignatures(files, { keys, threshold, reference });
  const [first] = faults;
  if (first !== undefined)
    throw new OciSignError("OCI_SIGNATURE_UNVERIFIED", {
      expected: first.expected,
      actual: `${first.code} ${first.subject}: ${first.actual}`,
    });
}
