import { parseSha256, type Sha256 } from "@secai/formats/digest";
import { LockError } from "./errors.ts";
import { parseStanza } from "./stanza.ts";

export interface ListedFile {
  /** Bytes. */
  readonly size: number;
  readonly sha256: Sha256;
}

/** The signed table of contents of one suite. */
export interface ReleaseFile {
  readonly suite: string | undefined;
  readonly codename: string | undefined;
  /** Seconds since 1970. */
  readonly date: number;
  /** Seconds since 1970; archives whose content must not be held back have it. */
  readonly validUntil: number | undefined;
  readonly byHash: boolean;
  /** By path below the suite's folder, e.g. "main/binary-amd64/Packages.gz". */
  readonly files: ReadonlyMap<string, ListedFile>;
}

function malformed(expected: string, actual: string | undefined): LockError {
  return new LockError("LOCK_ARCHIVE_MALFORMED", { expected, actual: JSON.stringify(actual?.slice(0, 80)) ?? "nothing" });
}

/** "Sat, 12 Sep 2026 07:55:41 UTC"; other zones do not occur in release files. */
function parseDate(text: string | undefined): number {
  const plain = /^[A-Z][a-z]{2}, +[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{1,2}:[0-9]{2}:[0-9]{2} (UTC|GMT|Z|\+0000)$/;
  const milliseconds = text !== undefined && plain.test(text) ? Date.parse(text.replace(/(UTC|Z|\+0000)$/, "GMT")) : Number.NaN;
  if (Number.isNaN(milliseconds)) throw malformed("an RFC 2822 date in UTC", text);
  return milliseconds / 1000;
}

function parseFiles(text: string | undefined): Map<string, ListedFile> {
  const files = new Map<string, ListedFile>();
  for (const line of (text ?? "").split("\n")) {
    if (line === "") continue;
    const [, hash = "", size = "", path = ""] = /^([0-9a-f]{64}) +([0-9]{1,12}) (\S+)$/.exec(line) ?? [];
    if (path === "" || files.has(path)) throw malformed("a digest, a size and a path that comes once", line);
    files.set(path, { sha256: parseSha256(hash), size: Number(size) });
  }
  return files;
}

/**
 * Parses what gpgv wrote out as signed, never the file with the signature around it.
 * @throws LockError LOCK_ARCHIVE_MALFORMED
 */
export function parseReleaseFile(signedText: string): ReleaseFile {
  const fields = parseStanza(signedText.replace(/\n+$/, ""));
  const validUntil = fields.get("valid-until");
  const files = parseFiles(fields.get("sha256"));
  if (files.size === 0) throw malformed("a SHA256 list", fields.get("sha256"));
  return {
    suite: fields.get("suite"),
    codename: fields.get("codename"),
    date: parseDate(fields.get("date")),
    validUntil: validUntil === undefined ? undefined : parseDate(validUntil),
    byHash: fields.get("acquire-by-hash") === "yes",
    files,
  };
}
