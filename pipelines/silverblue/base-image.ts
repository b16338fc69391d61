import { type JsonValue, parseJson } from "@secai/formats/canonical-json";
import { type OciDescriptor, type OciManifest, ociIndexShape, ociManifestShape } from "@secai/formats/oci";
import { anyObject, list, object, parseShape, type TypeOf, table, text } from "@secai/formats/shape";
import { hexOf, type LayerBlob, readDocument } from "./blobs.ts";
import { SilverblueError } from "./errors.ts";

const MAX_DOCUMENT_BYTES = 4 << 20;
const DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";

/** Of a layer's media type, OCI's or Docker's, how it is compressed. */
const compressions: Readonly<Record<string, LayerBlob["compression"]>> = {
  "application/vnd.oci.image.layer.v1.tar": "none",
  "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
};

const strings = table(/^[^\0]{1,512}$/, text(/^[^\0]*$/, 1 << 20), { max: 4096 });

/** config.md; members that we do not read may be anything. */
const configShape = object(
  { architecture: text(/^[a-z0-9]+$/, 32), os: text(/^[a-z]+$/, 32), rootfs: anyObject },
  {
    ...{ config: anyObject, history: list(anyObject, { max: 4096 }), created: text(/^[^\0]*$/), author: text(/^[^\0]*$/) },
    ...{ variant: text(/^[^\0]*$/), container_config: anyObject, container: text(/^[^\0]*$/), docker_version: text(/^[^\0]*$/) },
    ...{ "os.version": text(/^[^\0]*$/), "os.features": list(text(/^[^\0]*$/)), id: text(/^[^\0]*$/), parent: text(/^[^\0]*$/) },
  },
);
const runShape = object({ type: text(/^layers$/), diff_ids: list(text(/^sha256:[0-9a-f]{64}$/, 71), { min: 1, max: 512 }) });

/** An image of one platform, as its documents describe it. */
export interface BaseImage {
  /** Digest of the manifest of this platform. */
  readonly manifestDigest: string;
  readonly platform: { readonly architecture: string; readonly os: string };
  readonly layers: readonly LayerBlob[];
  readonly labels: Readonly<Record<string, string>>;
  /** What starts in a container, its environment, its stop signal: handed on as they are. */
  readonly run: Readonly<Record<string, JsonValue>>;
  readonly history: readonly JsonValue[];
  readonly created: string | undefined;
}

const malformed = (expected: string, actual: string, cause?: unknown): SilverblueError =>
  new SilverblueError("BASE_MANIFEST_MALFORMED", { expected, actual, cause });

function parsed<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (cause instanceof SilverblueError) throw cause;
    throw malformed(what, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function json(folder: string, digest: string): unknown {
  return parseJson(Buffer.from(readDocument(folder, digest)), MAX_DOCUMENT_BYTES);
}

/** The one manifest that an index has for a platform. @throws SilverblueError BASE_MANIFEST_MALFORMED */
function choose(manifests: readonly OciDescriptor[], platform: string): OciDescriptor {
  const matching = manifests.filter(({ platform: named }) => `${named?.os}/${named?.architecture}` === platform);
  const [only] = matching;
  if (only === undefined || matching.length > 1)
    throw malformed(`one image for ${platform} in the index`, String(matching.length));
  return only;
}

/** The manifest that `digest` names, by way of an index or not. */
function manifestOf(folder: string, digest: string, platform: string): { digest: string; manifest: OciManifest } {
  const document = json(folder, digest) as { mediaType?: unknown; manifests?: unknown } | null;
  const isIndex = document?.mediaType === OCI_INDEX || document?.mediaType === DOCKER_INDEX || document?.manifests !== undefined;
  if (!isIndex) return { digest, manifest: parseShape(ociManifestShape, document, "an image manifest") };
  const { digest: chosen } = choose(parseShape(ociIndexShape, document, "an image index").manifests, platform);
  return { digest: chosen, manifest: parseShape(ociManifestShape, json(folder, chosen), "an image manifest") };
}

function layersOf(manifest: OciManifest, diffIds: readonly string[]): readonly LayerBlob[] {
  if (manifest.layers.length !== diffIds.length)
    throw malformed(`${manifest.layers.length} layers in the configuration`, String(diffIds.length));
  return manifest.layers.map(({ mediaType, digest, size }, index) => {
    const compression = compressions[mediaType];
    if (compression === undefined) throw malformed(`a layer as ${Object.keys(compressions).join(" or ")}`, mediaType);
    return { digest, size, compression, diffId: diffIds[index] ?? "" };
  });
}

/**
 * Reads the documents of an image; every one of them has the digest by which it is named. Layers are described, not read.
 * @param platform "linux/amd64"
 * @throws SilverblueError BASE_DIGEST_MISMATCH, BASE_MANIFEST_MALFORMED
 */
export function readBaseImage(folder: string, digest: string, platform: string): BaseImage {
  hexOf(digest);
  return parsed("the documents of an image", () => {
    const { digest: manifestDigest, manifest } = manifestOf(folder, digest, platform);
    const config: TypeOf<typeof configShape> = parseShape(configShape, json(folder, manifest.config.digest), "a configuration");
    const { diff_ids: diffIds } = parseShape(runShape, config.rootfs, "the configuration's rootfs");
    if (`${config.os}/${config.architecture}` !== platform) throw malformed(platform, `${config.os}/${config.architecture}`);
    const { Labels: labels = {}, ...run } = (config.config ?? {}) as Record<string, JsonValue>;
    return {
      manifestDigest,
      platform: { architecture: config.architecture, os: config.os },
      layers: layersOf(manifest, diffIds),
      labels: parseShape(strings, labels ?? {}, "labels"),
      run,
      history: (config.history ?? []) as readonly JsonValue[],
      created: config.created,
    };
  });
}
