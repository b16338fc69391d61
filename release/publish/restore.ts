import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { sha256File } from "@secai/formats/digest";
import { fileNameOf } from "./asset-name.ts";
import { buildNew, copyHashed, type Expected, type Watch } from "./copy.ts";
import { PublishError } from "./errors.ts";
import { readLayout } from "./oci-layout.ts";

/** Where a published release lies that is to become a directory again. */
export type RestoreSource = { readonly kind: "assets" | "oci-layout"; readonly path: string };

/**
 * Turns downloaded assets or an OCI layout back into a release directory, which appears only after `verify` accepted it.
 * @throws PublishError, FormatError; whatever `verify` throws
 */
export async function restoreRelease(
  source: RestoreSource,
  out: string,
  verify: (dir: string) => Promise<unknown>,
  options: { readonly keep: boolean; readonly watch: Watch },
): Promise<readonly string[]> {
  const files = source.kind === "assets" ? await readAssets(source.path) : await readLayout(source.path);
  await buildNew(
    out,
    async (dir) => {
      for (const file of files) await copyHashed(file.path, join(dir, file.name), file, options.watch);
      await verify(dir);
    },
    options,
  );
  return files.map(({ name }) => name);
}

/** Flat files as a browser or `gh release download` leaves them. Their digests are judged by the verifier, afterwards. */
async function readAssets(path: string): Promise<readonly (Expected & { readonly path: string })[]> {
  const names = await readdir(path).catch((cause: Error) => {
    throw new PublishError("PUBLISH_SOURCE_MALFORMED", { expected: "a folder of assets", actual: cause.message, cause });
  });
  return await Promise.all(
    names.toSorted().map(async (asset) => {
      const file = join(path, asset);
      const found = await lstat(file);
      if (!found.isFile()) throw new PublishError("PUBLISH_SOURCE_MALFORMED", { expected: "plain files only", actual: asset });
      return { name: fileNameOf(asset), path: file, size: found.size, sha256: await sha256File(file) };
    }),
  );
}
