import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import type { Manifest } from "@secai/formats/manifest";
import { readBounded } from "../gate/gate.ts";
import type { ReleaseFile } from "./contents.ts";
import { buildNew, copyHashed, type Expected, isTaken, type Watch } from "./copy.ts";
import { requireEqual } from "./directory.ts";
import { PublishError } from "./errors.ts";
import { buildLayout, EMPTY_BLOB, hexOf, LAYOUT_DOCUMENT, MAX_OCI_BYTES, parseArtifact, parseIndex } from "./oci-documents.ts";
import type { Outcome } from "./outcome.ts";

const BLOBS = "blobs/sha256";

/**
 * Writes a release as an OCI artifact in a new image layout: one layer a file. A layout that is there already must be this one.
 * @throws PublishError PUBLISH_TARGET_DIFFERS, PUBLISH_TARGET_FAILED, PUBLISH_FILE_CHANGED
 */
export async function publishLayout(
  files: readonly ReleaseFile[],
  release: Manifest,
  path: string,
  watch: Watch,
): Promise<Outcome> {
  const documents = buildLayout(files, release);
  if (await isTaken(path)) {
    await requireSameLayout(files, documents.index, path);
    return { done: [], present: files.map(({ name }) => name) };
  }
  await buildNew(path, async (dir) => {
    await mkdir(join(dir, BLOBS), { recursive: true, mode: 0o755 });
    for (const content of new Set([EMPTY_BLOB, documents.manifest])) await writeNew(join(dir, BLOBS, sha256(content)), content);
    for (const file of files) {
      const blob = join(dir, BLOBS, file.sha256);
      if (!(await isTaken(blob))) await copyHashed(file.path, blob, file, watch);
    }
    await writeNew(join(dir, "oci-layout"), LAYOUT_DOCUMENT);
    await writeNew(join(dir, "index.json"), documents.index);
  });
  return { done: files.map(({ name }) => name), present: [] };
}

const writeNew = (path: string, content: string) => writeFile(path, content, { flag: "wx", mode: 0o644, flush: true });

async function requireSameLayout(files: readonly ReleaseFile[], index: string, path: string): Promise<void> {
  const there = await readSmall(join(path, "index.json")).catch(() => undefined);
  if (there?.toString() !== index)
    throw new PublishError("PUBLISH_TARGET_DIFFERS", {
      expected: `the index of this release in ${path}`,
      actual: "another or none",
    });
  for (const file of files) await requireEqual(join(path, BLOBS, file.sha256), file);
}

/**
 * The files of the one release in a layout, and where their bytes lie.
 * @throws PublishError PUBLISH_SOURCE_MALFORMED, FormatError
 */
export async function readLayout(path: string): Promise<readonly (Expected & { readonly path: string })[]> {
  const manifests = parseIndex(await readSmall(join(path, "oci-layout")), await readSmall(join(path, "index.json")));
  const found: (readonly Expected[])[] = [];
  for (const manifest of manifests) {
    const bytes = await readSmall(join(path, BLOBS, hexOf(manifest)));
    if (bytes.length !== manifest.size || sha256(bytes) !== hexOf(manifest))
      throw new PublishError("PUBLISH_SOURCE_MALFORMED", { expected: manifest.digest, actual: `${bytes.length} other bytes` });
    const files = parseArtifact(bytes);
    if (files !== undefined) found.push(files);
  }
  const [files, ...more] = found;
  if (files === undefined || more.length > 0)
    throw new PublishError("PUBLISH_SOURCE_MALFORMED", { expected: "one release in the layout", actual: `${found.length}` });
  return files.map((file) => ({ ...file, path: join(path, BLOBS, file.sha256) }));
}

async function readSmall(path: string): Promise<Buffer> {
  return await readBounded(path, MAX_OCI_BYTES).catch((cause: Error) => {
    throw new PublishError("PUBLISH_SOURCE_MALFORMED", { expected: path, actual: cause.message, cause });
  });
}
