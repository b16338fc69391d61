import { canonicalJson, type JsonValue } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";

export interface OciFacts {
  readonly title: string;
  readonly version: string;
  /** SPDX expression. */
  readonly licenses: string;
  /** As Go's GOARCH names it (image-spec, config.md). */
  readonly architecture: "amd64" | "arm64";
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number;
  /** SHA-256 of disk.raw.zst: the name by which every medium knows the image. */
  readonly imageDigest: string;
  readonly rootHash: string;
  readonly ukiDigest: string;
  /** `diffId` is the SHA-256 of the archive before compression. */
  readonly layer: { readonly digest: string; readonly size: number; readonly diffId: string };
}

/** The small files of a layout, by the name of the step's output file. */
export type OciDocuments = Readonly<Record<"oci-layout" | "index.json" | "manifest.json" | "config.json", string>>;

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+zstd";

/** What the image says of itself: in its configuration as labels, for engines; in its manifest as annotations, for registries. */
function labels({ title, version, licenses, sourceDateEpoch, ...digests }: OciFacts): Record<string, string> {
  return {
    "org.opencontainers.image.created": timestamp(sourceDateEpoch),
    "org.opencontainers.image.licenses": licenses,
    "org.opencontainers.image.title": title,
    "org.opencontainers.image.version": version,
    "secai.image-digest": `sha256:${digests.imageDigest}`,
    "secai.root-hash": digests.rootHash,
    "secai.uki-sha256": digests.ukiDigest,
  };
}

const timestamp = (seconds: number) => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");

function descriptor(mediaType: string, content: string) {
  return { mediaType, digest: `sha256:${sha256(content)}`, size: Buffer.byteLength(content) };
}

/**
 * The documents around one layer (image-spec v1.1: image-layout.md, image-index.md, manifest.md, config.md). An engine that starts the image
 * starts its system manager; services of the appliance that need its kernel, TPM or disk say so and stay down.
 */
export function buildOciLayout(facts: OciFacts): OciDocuments {
  const { layer, sourceDateEpoch, version } = facts;
  const platform = { architecture: facts.architecture, os: "linux" } as const;
  const all = labels(facts);
  const created = timestamp(sourceDateEpoch);
  const print = (value: JsonValue) => canonicalJson(value);
  const config = print({
    ...platform,
    created,
    config: { Cmd: ["/usr/lib/systemd/systemd"], Labels: all, StopSignal: "SIGRTMIN+3" },
    rootfs: { type: "layers", diff_ids: [`sha256:${layer.diffId}`] },
    history: [{ created, comment: "the sealed root" }],
  });
  const manifest = print({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor(CONFIG_TYPE, config),
    layers: [{ mediaType: LAYER_TYPE, digest: `sha256:${layer.digest}`, size: layer.size }],
    annotations: all,
  });
  const index = print({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...descriptor(MANIFEST_TYPE, manifest),
        platform,
        annotations: { "org.opencontainers.image.ref.name": version },
      },
    ],
  });
  return {
    "oci-layout": print({ imageLayoutVersion: "1.0.0" }),
    "index.json": index,
    "manifest.json": manifest,
    "config.json": config,
  };
}
