import { canonicalJson, type JsonValue } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { instantOf } from "@secai/formats/instant";
import { OCI_CONFIG_TYPE, OCI_MANIFEST_TYPE, OCI_TAG } from "@secai/formats/oci";
import type { BaseImage } from "./base-image.ts";
import type { LayerBlob } from "./blobs.ts";
import type { WrittenLayer } from "./layer-write.ts";

export interface ImageFacts {
  readonly title: string;
  readonly version: string;
  /** Commit of the recipe: 40 hex digits. */
  readonly revision: string;
  /** SPDX expression. */
  readonly licenses: string;
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number;
  readonly base: BaseImage;
  /** Ours, in order, with what each is for. */
  readonly layers: readonly (WrittenLayer & { readonly comment: string })[];
}

const types: Readonly<Record<LayerBlob["compression"], string>> = {
  none: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
};

/** Labels of the base that say how its root was made; those that say who published it are replaced. */
const INHERITED = /^(ostree\.|rpmostree\.|containers\.bootc$)/;

/** github.com/opencontainers/image-spec, v1.1, annotations.md; the last two are what bootc asks of an image it installs. */
export function imageLabels({ title, version, revision, licenses, sourceDateEpoch, base }: ImageFacts): Record<string, string> {
  const inherited = Object.entries(base.labels).filter(([name]) => INHERITED.test(name));
  return {
    ...Object.fromEntries(inherited),
    "org.opencontainers.image.base.digest": base.manifestDigest,
    "org.opencontainers.image.created": instantOf(sourceDateEpoch * 1000),
    "org.opencontainers.image.licenses": licenses,
    "org.opencontainers.image.revision": revision,
    "org.opencontainers.image.title": title,
    "org.opencontainers.image.version": version,
    "containers.bootc": "1",
    "ostree.bootable": "true",
  };
}

const described = (mediaType: string, content: string) => ({
  mediaType,
  digest: `sha256:${sha256(content)}`,
  size: Buffer.byteLength(content),
});

/** The documents around the layers: the base's as they are, ours on top. @returns index.json, and the blobs by digest */
export function imageDocuments(facts: ImageFacts): {
  readonly index: string;
  readonly blobs: ReadonlyMap<string, string>;
  readonly digest: string;
} {
  const { base, layers, version, sourceDateEpoch } = facts;
  const labels = imageLabels(facts);
  const created = instantOf(sourceDateEpoch * 1000);
  const config = canonicalJson({
    ...base.platform,
    created,
    config: { ...base.run, Labels: labels },
    rootfs: { type: "layers", diff_ids: [...base.layers, ...layers].map(({ diffId }) => diffId) },
    history: [...base.history, ...layers.map(({ comment }): JsonValue => ({ created, comment }))],
  });
  const manifest = canonicalJson({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST_TYPE,
    config: described(OCI_CONFIG_TYPE, config),
    layers: [
      ...base.layers.map(({ compression, digest, size }) => ({ mediaType: types[compression], digest, size })),
      ...layers.map(({ digest, size }) => ({ mediaType: types.zstd, digest, size })),
    ],
    annotations: labels,
  });
  const entry = { ...described(OCI_MANIFEST_TYPE, manifest), platform: base.platform, annotations: { [OCI_TAG]: version } };
  const index = canonicalJson({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [entry] });
  return { index, digest: entry.digest, blobs: new Map([config, manifest].map((document) => [sha256(document), document])) };
}
