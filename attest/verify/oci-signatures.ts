import { parseBase64 } from "@secai/formats/base64";
import { parseBundle } from "@secai/formats/bundle";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { hintOf, type PublicKey } from "@secai/formats/keys";
import {
  hexOfDigest,
  OCI_TAG,
  type OciDescriptor,
  type OciManifest,
  ociIndexShape,
  ociManifestShape,
  parseOciDocument,
} from "@secai/formats/oci";
import {
  COSIGN_SIGN_PREDICATE,
  COSIGN_SIGNATURE_ANNOTATION,
  LEGACY_TAG,
  legacyTagOf,
  OCI_BUNDLE_TYPE,
  parseSimpleSigning,
  SIMPLE_SIGNING_TYPE,
} from "@secai/formats/oci-signature";
import { isSignature, verifyStatementBundle } from "@secai/formats/signature";
import { parseStatement } from "@secai/formats/statement";

/** A file of an image layout by its name in it ("index.json", "blobs/sha256/<hex>"); undefined when there is none. */
export type OciFiles = (name: string) => Uint8Array | undefined;

export const OCI_SIGNATURE_CODES = [
  "OCI_UNREADABLE",
  "OCI_BUNDLE_MISSING",
  "OCI_BUNDLE_INVALID",
  "OCI_LEGACY_MISSING",
  "OCI_LEGACY_INVALID",
  "OCI_ATTACHMENT_STRAY",
] as const;
export type OciSignatureCode = (typeof OCI_SIGNATURE_CODES)[number];

export interface OciSignatureFault {
  readonly code: OciSignatureCode;
  /** The image or attachment: the digest of its manifest. */
  readonly subject: string;
  readonly expected: string;
  readonly actual: string;
}
export interface OciSignatureReport {
  /** Every image of the layout, by the digest of its manifest. */
  readonly images: readonly string[];
  /** Empty when every image carries both kinds of signature by enough keys, and nothing else is attached. */
  readonly faults: readonly OciSignatureFault[];
}

export interface OciSignatureRules {
  readonly keys: readonly PublicKey[];
  /** How many different keys must have signed. */
  readonly threshold?: number;
  /** The repository that the legacy signatures must name; any when absent. */
  readonly reference?: string;
}

interface Attached {
  readonly descriptor: OciDescriptor;
  readonly manifest: OciManifest;
}
interface Layout {
  readonly images: readonly Attached[];
  readonly referrers: readonly Attached[];
  readonly legacy: readonly Attached[];
}

/**
 * Both signatures of every image in a layout: the bundle that refers to it (OCI 1.1 `subject`) and the older attachment beside it, which
 * container engines with a sigstoreSigned policy read. Everything in the index that is not an attachment counts as an image, so that
 * none goes unsigned. Container engines know no ML-DSA: its keys count for bundles only.
 */
export function checkOciSignatures(files: OciFiles, rules: OciSignatureRules): OciSignatureReport {
  const read = readLayout(files);
  if ("code" in read) return { images: [], faults: [read] };
  const { images, referrers, legacy } = read;
  const known = new Set(images.map(({ descriptor }) => descriptor.digest));
  const faults = [
    ...images.flatMap((image) => [
      ...bundleFaults(
        image,
        referrers.filter(({ manifest }) => manifest.subject?.digest === image.descriptor.digest),
        files,
        rules,
      ),
      ...legacyFaults(
        image,
        legacy.filter(({ descriptor }) => tagOf(descriptor) === legacyTagOf(hexOfDigest(image.descriptor.digest))),
        files,
        rules,
      ),
    ]),
    ...referrers.filter(({ manifest }) => !known.has(manifest.subject?.digest ?? "")).map(stray),
    ...legacy.filter(({ descriptor }) => !known.has(`sha256:${LEGACY_TAG.exec(tagOf(descriptor))?.[1]}`)).map(stray),
  ];
  if (images.length === 0) faults.push(fault("OCI_UNREADABLE", "index.json", "at least one image", "none"));
  return { images: [...known], faults };
}

const tagOf = ({ annotations }: OciDescriptor): string => annotations?.[OCI_TAG] ?? "";
const stray = ({ descriptor }: Attached): OciSignatureFault =>
  fault("OCI_ATTACHMENT_STRAY", descriptor.digest, "an image in the same index", "an attachment to something else");

function readLayout(files: OciFiles): Layout | OciSignatureFault {
  try {
    const { manifests } = parseOciDocument(ociIndexShape, files("index.json") ?? Buffer.of(), "index.json");
    const all = manifests.map((descriptor) => {
      const bytes = blobOf(files, descriptor);
      if (bytes === undefined) throw new RangeError(`no manifest ${descriptor.digest}`);
      return { descriptor, manifest: parseOciDocument(ociManifestShape, bytes, descriptor.digest) };
    });
    const referrers = all.filter(({ manifest }) => manifest.subject !== undefined);
    const legacy = all.filter(({ descriptor, manifest }) => manifest.subject === undefined && LEGACY_TAG.test(tagOf(descriptor)));
    return { images: all.filter((one) => !referrers.includes(one) && !legacy.includes(one)), referrers, legacy };
  } catch (cause) {
    return fault("OCI_UNREADABLE", "index.json", "an index and the manifests it names", (cause as Error).message);
  }
}

/** The blob, if it is what its descriptor says: what is not hashed is not believed. */
function blobOf(files: OciFiles, { digest, size }: OciDescriptor): Uint8Array | undefined {
  const bytes = files(`blobs/sha256/${hexOfDigest(digest)}`);
  return bytes !== undefined && bytes.length === size && `sha256:${sha256(bytes)}` === digest ? bytes : undefined;
}

function bundleFaults(
  image: Attached,
  referrers: readonly Attached[],
  files: OciFiles,
  rules: OciSignatureRules,
): OciSignatureFault[] {
  const { keys, threshold = 1 } = rules;
  const faults: OciSignatureFault[] = [];
  const signers = new Set<Sha256>();
  for (const { descriptor, manifest } of referrers) {
    const outcome = attempt(() => signerOfBundle(manifest, hexOfDigest(image.descriptor.digest), files, keys));
    if (outcome.signer === undefined)
      faults.push(fault("OCI_BUNDLE_INVALID", descriptor.digest, "a bundle by a trusted key", outcome.why));
    else signers.add(outcome.signer);
  }
  if (signers.size < threshold)
    faults.push(fault("OCI_BUNDLE_MISSING", image.descriptor.digest, `bundles by ${threshold} keys`, `${signers.size}`));
  return faults;
}

function signerOfBundle(manifest: OciManifest, imageDigest: Sha256, files: OciFiles, keys: readonly PublicKey[]): Sha256 {
  const [layer, ...more] = manifest.layers;
  if (manifest.artifactType !== OCI_BUNDLE_TYPE || layer?.mediaType !== OCI_BUNDLE_TYPE || more.length > 0)
    throw new RangeError("not one layer that is a Sigstore bundle v0.3");
  const bundle = parseBundle(blobOf(files, layer) ?? Buffer.of());
  if (bundle.kind !== "statement") throw new RangeError("a bundle of a file");
  const key = keys.find((candidate) => hintOf(candidate) === bundle.keyHint);
  if (key === undefined) throw new RangeError(`key ${bundle.keyHint}`);
  const { predicateType, subject } = parseStatement(verifyStatementBundle(bundle, key));
  const [only, ...others] = subject;
  if (predicateType !== COSIGN_SIGN_PREDICATE || only?.digest.sha256 !== imageDigest || others.length > 0)
    throw new RangeError(`a ${predicateType} about ${only?.digest.sha256}`);
  return key.fingerprint;
}

function legacyFaults(
  image: Attached,
  found: readonly Attached[],
  files: OciFiles,
  rules: OciSignatureRules,
): OciSignatureFault[] {
  const { threshold = 1 } = rules;
  const faults: OciSignatureFault[] = [];
  const signers = new Set<Sha256>();
  if (found.length > 1)
    faults.push(fault("OCI_LEGACY_INVALID", image.descriptor.digest, "one manifest of the tag", `${found.length}`));
  for (const { descriptor, manifest } of found) {
    if (manifest.layers.length === 0) faults.push(fault("OCI_LEGACY_INVALID", descriptor.digest, "signatures", "none"));
    for (const layer of manifest.layers) {
      const outcome = attempt(() => signerOfLayer(layer, image.descriptor.digest, files, rules));
      if (outcome.signer === undefined)
        faults.push(fault("OCI_LEGACY_INVALID", descriptor.digest, "a signature by a trusted key", outcome.why));
      else signers.add(outcome.signer);
    }
  }
  const needed = Math.min(threshold, rules.keys.filter(({ algorithm }) => algorithm === "ecdsa-p256").length);
  if (signers.size < needed || signers.size === 0)
    faults.push(fault("OCI_LEGACY_MISSING", image.descriptor.digest, `signatures by ${needed} P-256 keys`, `${signers.size}`));
  return faults;
}

function signerOfLayer(
  layer: OciDescriptor,
  imageDigest: string,
  files: OciFiles,
  { keys, reference }: OciSignatureRules,
): Sha256 {
  if (layer.mediaType !== SIMPLE_SIGNING_TYPE) throw new RangeError(`a layer of type ${layer.mediaType}`);
  const payload = blobOf(files, layer) ?? Buffer.of();
  const signature = parseBase64(layer.annotations?.[COSIGN_SIGNATURE_ANNOTATION] ?? "");
  // A legacy signature names no key: each trusted one is tried.
  const key = keys.find((candidate) => candidate.algorithm === "ecdsa-p256" && isSignature(payload, signature, candidate));
  if (key === undefined) throw new RangeError("another signature");
  const said = parseSimpleSigning(payload);
  if (said.manifestDigest !== imageDigest) throw new RangeError(`a signature of ${said.manifestDigest}`);
  if (reference !== undefined && said.reference !== reference) throw new RangeError(`a signature for ${said.reference}`);
  return key.fingerprint;
}

/** Whatever is wrong with an attachment is one fault of it. */
function attempt(signerOf: () => Sha256): { readonly signer?: Sha256; readonly why: string } {
  try {
    return { signer: signerOf(), why: "" };
  } catch (error) {
    return { why: (error as Error).message.slice(0, 300) };
  }
}

const fault = (code: OciSignatureCode, subject: string, expected: string, actual: string): OciSignatureFault => ({
  code,
  subject,
  expected,
  actual,
});
