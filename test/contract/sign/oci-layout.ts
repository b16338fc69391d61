import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { describeOci, OCI_CONFIG_TYPE, OCI_MANIFEST_TYPE } from "@secai/formats/oci";
import type { OciFiles } from "@secai/verify/oci-signatures";

/** A layout with small images, one a tag. Returns the digests of their manifests. */
export function writeLayout(dir: string, tags: readonly string[] = ["1.0"]): string[] {
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  const put = (content: Buffer) => writeFileSync(join(dir, "blobs/sha256", sha256(content)), content);
  const manifests = tags.map((tag) => {
    const tar = Buffer.alloc(10_240, tag).fill(0, 1024);
    const layer = gzipSync(Buffer.alloc(10_240));
    const rootfs = { type: "layers", diff_ids: [`sha256:${sha256(Buffer.alloc(10_240))}`] };
    const config = Buffer.from(
      canonicalJson({ architecture: "amd64", os: "linux", config: { Labels: { tag: sha256(tar) } }, rootfs }),
    );
    const manifest = Buffer.from(
      canonicalJson({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST_TYPE,
        config: describeOci(OCI_CONFIG_TYPE, config),
        layers: [describeOci("application/vnd.oci.image.layer.v1.tar+gzip", layer)],
      }),
    );
    for (const blob of [layer, config, manifest]) put(blob);
    return { ...describeOci(OCI_MANIFEST_TYPE, manifest), annotations: { "org.opencontainers.image.ref.name": tag } };
  });
  writeFileSync(join(dir, "oci-layout"), canonicalJson({ imageLayoutVersion: "1.0.0" }));
  const mediaType = "application/vnd.oci.image.index.v1+json";
  writeFileSync(join(dir, "index.json"), canonicalJson({ schemaVersion: 2, mediaType, manifests }));
  return manifests.map(({ digest }) => digest);
}

/** Every file of a layout by its name, as a checker sees it and a test changes it. */
export function readFiles(dir: string): Map<string, Buffer> {
  const names = ["oci-layout", "index.json", ...readdirSync(join(dir, "blobs/sha256")).map((name) => `blobs/sha256/${name}`)];
  return new Map(names.map((name) => [name, readFileSync(join(dir, name))]));
}
export const reading =
  (files: ReadonlyMap<string, Buffer>): OciFiles =>
  (name) =>
    files.get(name);
