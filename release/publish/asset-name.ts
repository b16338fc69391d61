import { parseFileName } from "@secai/formats/file-name";
import { PublishError } from "./errors.ts";

/** The assets of a GitHub release have no folders: "keys/release.pub" is published as "keys__release.pub". */
const SEPARATOR = "__";

/**
 * A release file's name as an asset. No two files get one name, and `fileNameOf` gives the file's name back.
 * @throws PublishError PUBLISH_NAME_AMBIGUOUS for a name with two underscores in a row, or one beside a slash
 */
export function assetNameOf(file: string): string {
  const asset = file.replaceAll("/", SEPARATOR);
  if (asset.replaceAll(SEPARATOR, "/") !== file || /_\/|\/_/.test(file) || /[^A-Za-z0-9._-]/.test(asset))
    throw new PublishError("PUBLISH_NAME_AMBIGUOUS", {
      expected: "letters, digits, dots, dashes, single underscores",
      actual: file,
    });
  return asset;
}

/** @throws PublishError PUBLISH_NAME_AMBIGUOUS, FormatError FILE_NAME_UNSAFE */
export function fileNameOf(asset: string): string {
  const file = parseFileName(asset.replaceAll(SEPARATOR, "/"));
  if (assetNameOf(file) !== asset)
    throw new PublishError("PUBLISH_NAME_AMBIGUOUS", { expected: assetNameOf(file), actual: asset });
  return file;
}
