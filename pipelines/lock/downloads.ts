import { FetchError } from "../fetch/errors.ts";
import { download, type HttpClient } from "../fetch/http.ts";
import type { Mirrors } from "../fetch/mirrors.ts";
import { LockError } from "./errors.ts";

/** Where an archive is asked first. @throws FetchError FETCH_MIRROR_UNKNOWN */
export function firstMirror(mirrors: Mirrors, archive: string, expected = `an address of ${archive}`): string {
  const [base] = mirrors[archive] ?? [];
  if (base === undefined) throw new FetchError("FETCH_MIRROR_UNKNOWN", { expected, actual: "none" });
  return base;
}

export interface Downloads {
  readonly client: HttpClient;
  readonly signal?: AbortSignal;
}

/**
 * A small file that the archive must have.
 * @param missing what is said when it does not
 * @throws LockError LOCK_ARCHIVE_MISSING, FetchError
 */
export async function downloadRequired(
  { client, signal }: Downloads,
  url: string,
  maxBytes: number,
  missing: { readonly expected: string; readonly actual: string } = { expected: url, actual: "no such file" },
): Promise<Buffer> {
  const bytes = await download(client, url, maxBytes, signal);
  if (bytes === undefined) throw new LockError("LOCK_ARCHIVE_MISSING", missing);
  return bytes;
}
