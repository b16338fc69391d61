import { lstat, readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { CHECKSUMS_FILE } from "@secai/formats/checksums";
import { type Sha256, sha256 } from "@secai/formats/digest";
import type { Manifest } from "@secai/formats/manifest";
import { MANIFEST_FILE, signedFileOf } from "@secai/formats/release-layout";
import { readReleaseFile } from "../gate/gate.ts";
import { PublishError } from "./errors.ts";

/** A file of a verified release, and what it must still be when it is copied. */
export interface ReleaseFile {
  readonly name: string;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Sha256;
}

/**
 * What lies in a release directory that was verified a moment ago: digests of the manifest, and of the few files it does not list, their
 * own. The lists come last, so that a copy that stops halfway is never taken for a whole one.
 * @throws GateError GATE_READ, PublishError PUBLISH_FILE_CHANGED
 */
export async function listContents(dir: string, manifest: Manifest): Promise<readonly ReleaseFile[]> {
  const listed = new Map(manifest.files.map((file) => [file.name, file]));
  const files: ReleaseFile[] = [];
  for (const name of await namesIn(dir)) {
    const path = join(dir, name);
    const entry = listed.get(name) ?? (await unlisted(dir, name));
    const { size } = await lstat(path);
    if (size !== entry.size)
      throw new PublishError("PUBLISH_FILE_CHANGED", { expected: `${name}: ${entry.size} bytes`, actual: `${size}` });
    files.push({ name, path, size, sha256: entry.sha256 as Sha256 });
  }
  return files.toSorted((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
}

async function namesIn(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => relative(dir, join(entry.parentPath, entry.name)));
}

async function unlisted(dir: string, name: string): Promise<{ readonly size: number; readonly sha256: string }> {
  const bytes = await readReleaseFile(dir, name);
  if (bytes === undefined) throw new PublishError("PUBLISH_FILE_CHANGED", { expected: name, actual: "no such file" });
  return { size: bytes.length, sha256: sha256(bytes) };
}

function rank(name: string): number {
  const file = signedFileOf(name) ?? name;
  return file === CHECKSUMS_FILE ? 2 : file === MANIFEST_FILE ? 1 : 0;
}
