import { constants } from "node:fs";
import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CHECKSUMS_FILE } from "@secai/formats/checksums";
import { parseManifest } from "@secai/formats/manifest";
import { isFurtherBundle, MANIFEST_FILE, signedFileOf } from "@secai/formats/release-layout";
import type { FinishedRelease } from "./bundle.ts";
import { buildInPlaceOf } from "./place.ts";
import { inputsOf, type SealOptions, sealRelease } from "./seal.ts";

/** Files that list or sign the others: made anew whenever something else changes. */
function isSeal(name: string): boolean {
  const file = signedFileOf(name) ?? name;
  return file === MANIFEST_FILE || file === CHECKSUMS_FILE || isFurtherBundle(name);
}

/**
 * Makes a changed release of the one in `from` at `out` (which may be the same directory): everything but the lists is copied, `change` edits the
 * copy, then it is listed, signed and verified anew. Statements that are signed already keep their signatures; later signers sign again.
 * @throws ReleaseError, SignError, FormatError; `out` is untouched then
 */
export async function remakeRelease(
  from: string,
  out: string,
  change: (dir: string) => Promise<void>,
  options: SealOptions,
): Promise<FinishedRelease> {
  const before = parseManifest(await readFile(join(from, MANIFEST_FILE)));
  const { commit_sha } = before.build;
  return buildInPlaceOf(out, async (dir) => {
    await copyContents(from, dir);
    await change(dir);
    const kept = {
      designation: before.designation,
      absent: before.absent,
      ...(commit_sha !== undefined && { commitSha: commit_sha }),
    };
    const { report, files } = await sealRelease(dir, await inputsOf(dir), { ...kept, ...options });
    return { dir: out, report: { ...report, target: out }, files };
  });
}

async function copyContents(from: string, to: string): Promise<void> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(from.length + 1);
    if (isSeal(name)) continue;
    await mkdir(dirname(join(to, name)), { recursive: true });
    await copyFile(path, join(to, name), constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  }
}
