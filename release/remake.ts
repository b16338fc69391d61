import { constants } from "node:fs";
import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseManifest } from "@secai/formats/manifest";
import { isFurtherBundle, MANIFEST_FILE, placeOf, type Role, signedFileOf } from "@secai/formats/release-layout";
import type { FinishedRelease } from "./bundle.ts";
import { buildInPlaceOf } from "./place.ts";
import { inputsOf, type SealOptions, sealRelease } from "./seal.ts";
import { placeKeyFiles, signImageLayout } from "./signers.ts";

/** Files that list, sign or date the others: made anew whenever something else changes. */
function isSeal(name: string): boolean {
  const file = signedFileOf(name) ?? name;
  const role = placeOf(file)?.role ?? "bundle";
  return ROLES_OF_SEAL.has(role) || isFurtherBundle(name);
}
const ROLES_OF_SEAL: ReadonlySet<Role> = new Set<Role>([
  "manifest",
  "checksums",
  "channel",
  "key-manifest",
  "old-key-manifest",
  "release-key",
]);

/**
 * Makes a changed release of the one in `from` at `out` (which may be the same directory): everything but lists, channel and keys is copied, `change` edits the
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
    await placeKeyFiles(dir, options.signers);
    await signImageLayout(dir, options.signers);
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
