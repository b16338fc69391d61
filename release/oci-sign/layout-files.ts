import { constants } from "node:fs";
import { open, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import {
  hexOfDigest,
  OCI_TAG,
  type OciDescriptor,
  type OciIndex,
  type OciManifest,
  ociIndexShape,
  ociLayoutShape,
  ociManifestShape,
  parseOciDocument,
} from "@secai/formats/oci";
import { LEGACY_TAG } from "@secai/formats/oci-signature";
import { OciSignError } from "./errors.ts";

const MAX_BYTES = 1 << 20;
export const blobFile = (digest: string): string => `blobs/sha256/${hexOfDigest(digest)}`;

/** An index and every document and signature around it, by digest; layers of images are never read. */
export interface Layout {
  readonly index: OciIndex;
  readonly blobs: ReadonlyMap<string, Buffer>;
}

/** @throws OciSignError OCI_LAYOUT_UNREADABLE */
export async function readLayout(dir: string): Promise<Layout> {
  try {
    parseOciDocument(ociLayoutShape, await readSmall(join(dir, "oci-layout")), "oci-layout");
    const index = parseOciDocument(ociIndexShape, await readSmall(join(dir, "index.json")), "index.json");
    const blobs = new Map<string, Buffer>();
    for (const { digest, annotations } of index.manifests) {
      const bytes = await readSmall(join(dir, blobFile(digest)));
      blobs.set(digest, bytes);
      const { layers, subject } = manifestOf(bytes);
      if (subject === undefined && !LEGACY_TAG.test(annotations?.[OCI_TAG] ?? "")) continue;
      for (const layer of layers) blobs.set(layer.digest, await readSmall(join(dir, blobFile(layer.digest))));
    }
    return { index, blobs };
  } catch (cause) {
    throw new OciSignError("OCI_LAYOUT_UNREADABLE", {
      expected: `an OCI image layout in ${dir}`,
      actual: (cause as Error).message,
      cause,
    });
  }
}

async function readSmall(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await file.stat();
    if (size > MAX_BYTES) throw new RangeError(`${path}: ${size} bytes`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

const manifestOf = (bytes: Buffer): OciManifest => parseOciDocument(ociManifestShape, bytes, "a manifest");
export const manifestIn = ({ blobs }: Layout, { digest }: OciDescriptor): OciManifest =>
  manifestOf(blobs.get(digest) ?? Buffer.of());

export interface Changes {
  /** Names relative to the layout. */
  readonly written: readonly string[];
  readonly removed: readonly string[];
}

/** The index is replaced last, so an interruption leaves at most blobs that nothing names. */
export async function writeLayout(dir: string, before: Layout, after: Layout): Promise<Changes> {
  const [old, now] = [namedBy(before), namedBy(after)];
  const written = [...now].filter((digest) => !old.has(digest) && after.blobs.has(digest));
  for (const digest of written) await replace(dir, blobFile(digest), after.blobs.get(digest) ?? Buffer.of());
  await replace(dir, "index.json", indexBytes(after));
  const removed = [...old].filter((digest) => !now.has(digest));
  for (const digest of removed) await rm(join(dir, blobFile(digest)), { force: true });
  return { written: [...written.map(blobFile), "index.json"].sort(), removed: removed.map(blobFile).sort() };
}

/** Every blob that the index or one of its manifests names. */
function namedBy(layout: Layout): ReadonlySet<string> {
  const inside = layout.index.manifests.map((descriptor) => manifestIn(layout, descriptor));
  const inner = inside.flatMap(({ config, layers }) => [config, ...layers]);
  return new Set([...layout.index.manifests, ...inner].map(({ digest }) => digest));
}

async function replace(dir: string, name: string, content: Buffer): Promise<void> {
  const path = join(dir, name);
  await writeFile(`${path}.partial`, content, { mode: 0o644, flush: true });
  await rename(`${path}.partial`, path);
}

export const indexBytes = ({ index }: Layout): Buffer => Buffer.from(canonicalJson(index));
export const isAttachment = (layout: Layout, descriptor: OciDescriptor): boolean =>
  manifestIn(layout, descriptor).subject !== undefined || LEGACY_TAG.test(descriptor.annotations?.[OCI_TAG] ?? "");
