import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import type { ReleaseFile } from "./contents.ts";
import { buildNew, copyHashed, isTaken, requireHash, type Watch } from "./copy.ts";
import { PublishError } from "./errors.ts";
import type { Outcome } from "./outcome.ts";

/**
 * Copies a release to `path`, which appears whole or not at all. One that is there already must be the same, byte for byte.
 * @throws PublishError PUBLISH_TARGET_DIFFERS, PUBLISH_TARGET_FAILED, PUBLISH_FILE_CHANGED
 */
export async function publishDirectory(files: readonly ReleaseFile[], path: string, watch: Watch): Promise<Outcome> {
  if (await isTaken(path)) {
    await requireSame(files, path);
    return { done: [], present: files.map(({ name }) => name) };
  }
  await buildNew(path, async (dir) => {
    for (const file of files) {
      await copyHashed(file.path, join(dir, file.name), file, watch);
    }
  });
  return { done: files.map(({ name }) => name), present: [] };
}

async function requireSame(files: readonly ReleaseFile[], path: string): Promise<void> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch((cause: Error) => {
    throw new PublishError("PUBLISH_TARGET_DIFFERS", { expected: "a directory", actual: cause.message, cause });
  });
  const there = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(path, join(entry.parentPath, entry.name)));
  const wanted = new Set(files.map(({ name }) => name));
  const odd = there.find((name) => !wanted.has(name)) ?? files.find(({ name }) => !there.includes(name))?.name;
  if (odd !== undefined) throw new PublishError("PUBLISH_TARGET_DIFFERS", { expected: `the same files in ${path}`, actual: odd });
  for (const file of files) await requireEqual(join(path, file.name), file);
}

/** @throws PublishError PUBLISH_TARGET_DIFFERS */
export async function requireEqual(path: string, file: ReleaseFile): Promise<void> {
  try {
    await requireHash(path, file);
  } catch (cause) {
    throw new PublishError("PUBLISH_TARGET_DIFFERS", {
      expected: `${path} with ${file.sha256}`,
      actual: (cause as Error).message,
      cause,
    });
  }
}
