import { parseSha256, type Sha256 } from "@secai/formats/digest";
import { LockError } from "./errors.ts";
import { paragraphs, parseStanza } from "./stanza.ts";

/** What a signed Packages index says about one binary package. */
export interface IndexEntry {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Below the archive's root, e.g. "pool/main/b/bash/bash_5.2.37-2+b5_amd64.deb". */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Sha256;
  /** Every system has it, whatever it asks for. */
  readonly essential: boolean;
}

/** deb-version(7), with an epoch or without. */
const version = /^([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~-]*$/;
/** Debian policy 5.6.1. */
const name = /^[a-z0-9][a-z0-9+.-]+$/;
const architecture = /^[a-z0-9][a-z0-9-]*$/;
/** A path that cannot leave the archive: no empty, "." or ".." segment, no character that a URL would change. */
const path = /^(?!.*(^|\/)\.{1,2}(\/|$))[A-Za-z0-9_.+~:-]+(\/[A-Za-z0-9_.+~:-]+)*\.deb$/;
/** No package of Debian is near this: 4 GiB. */
const MAX_PACKAGE_BYTES = 2 ** 32;

function field(fields: ReadonlyMap<string, string>, key: string, pattern: RegExp): string {
  const value = fields.get(key);
  if (value === undefined || value.length > 512 || !pattern.test(value)) {
    const actual = `${JSON.stringify(value?.slice(0, 80))} for package ${JSON.stringify(fields.get("package")?.slice(0, 80))}`;
    throw new LockError("LOCK_ARCHIVE_MALFORMED", { expected: `a well-formed ${key}`, actual });
  }
  return value;
}

/** @throws LockError LOCK_ARCHIVE_MALFORMED */
export function parseIndexEntry(stanza: string): IndexEntry {
  const fields = parseStanza(stanza);
  const size = Number(field(fields, "size", /^[1-9][0-9]{0,10}$/));
  if (size > MAX_PACKAGE_BYTES)
    throw new LockError("LOCK_ARCHIVE_MALFORMED", { expected: "a package below 4 GiB", actual: `${size} bytes` });
  return {
    name: field(fields, "package", name),
    version: field(fields, "version", version),
    architecture: field(fields, "architecture", architecture),
    path: field(fields, "filename", path),
    size,
    sha256: parseSha256(field(fields, "sha256", /^[0-9a-f]{64}$/)),
    essential: fields.get("essential") === "yes",
  };
}

/** @throws LockError LOCK_ARCHIVE_MALFORMED */
export function parsePackagesIndex(text: string): readonly IndexEntry[] {
  const entries: IndexEntry[] = [];
  for (const stanza of paragraphs(text)) entries.push(parseIndexEntry(stanza));
  return entries;
}
