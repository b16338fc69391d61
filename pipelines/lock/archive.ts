import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import type { Archive } from "../recipe/recipe.ts";
import { decompressFile } from "./decompress.ts";
import { type Downloads, downloadRequired } from "./downloads.ts";
import { LockError } from "./errors.ts";
import { type IndexEntry, parsePackagesIndex } from "./packages-index.ts";
import { type ListedFile, parseReleaseFile, type ReleaseFile } from "./release-file.ts";
import { verifyClearSigned } from "./signature.ts";

/** Debian's main suite has 140 KiB. */
const MAX_RELEASE_BYTES = 8 << 20;
/** Debian's main index has 57 MiB, and 13 MiB compressed. */
const MAX_INDEX_BYTES = 512 << 20;

/** Best first; some suites have only one of them. */
const compressions = [".xz", ".gz"] as const;

export interface VerifiedIndex {
  /** Below the archive's root, without the suffix of its compression. */
  readonly path: string;
  readonly sha256: Sha256;
  readonly component: string;
  /** ".xz", ".gz" or nothing. */
  readonly suffix: string;
  /** As the mirror has it. */
  readonly stored: Uint8Array;
  readonly entries: readonly IndexEntry[];
}

/** One suite of an archive, as its signers say it is. */
export interface VerifiedSuite {
  readonly archive: string;
  readonly suite: string;
  readonly inRelease: { readonly path: string; readonly bytes: Uint8Array };
  readonly signedBy: readonly string[];
  /** Seconds since 1970. */
  readonly date: number;
  readonly indexes: readonly VerifiedIndex[];
}

export interface ArchiveReader extends Downloads {
  readonly keyring: string;
  /** A private folder. */
  readonly directory: string;
  /** Seconds since 1970. */
  readonly now: number;
}

function checkIdentity(release: ReleaseFile, suite: string, now: number): void {
  // A validly signed file of another suite would pass for this one.
  if (release.codename !== suite && release.suite !== suite) {
    throw new LockError("LOCK_ARCHIVE_MALFORMED", {
      expected: `suite ${suite}`,
      actual: `${release.suite} (${release.codename})`,
    });
  }
  if (release.validUntil !== undefined && release.validUntil < now) {
    const until = new Date(release.validUntil * 1000).toISOString();
    throw new LockError("LOCK_ARCHIVE_EXPIRED", { expected: `${suite} valid now`, actual: `valid until ${until}` });
  }
}

function listedFile(release: ReleaseFile, name: string): ListedFile {
  const listed = release.files.get(name);
  if (listed === undefined)
    throw new LockError("LOCK_ARCHIVE_MISSING", { expected: `${name} in the release file`, actual: "no such line" });
  return listed;
}

function checkListed(bytes: Uint8Array, name: string, listed: ListedFile): void {
  const actual = sha256(bytes);
  if (listed.size === bytes.length && listed.sha256 === actual) return;
  throw new LockError("LOCK_ARCHIVE_MALFORMED", { expected: `${name} with sha256 ${listed.sha256}`, actual });
}

/** Downloads an index in the best compression there is and checks it before and after decompression. */
async function readIndex(
  reader: ArchiveReader,
  url: string,
  name: string,
  release: ReleaseFile,
): Promise<Omit<VerifiedIndex, "path" | "component">> {
  const plain = listedFile(release, name);
  if (plain.size > MAX_INDEX_BYTES)
    throw new LockError("LOCK_ARCHIVE_MALFORMED", { expected: `${name} below 512 MiB`, actual: `${plain.size} bytes` });
  const suffix = compressions.find((candidate) => release.files.has(name + candidate)) ?? "";
  const listed = listedFile(release, name + suffix);
  // By hash, a mirror that is being updated still has the file that this release file lists.
  const path = release.byHash ? `${name.slice(0, name.lastIndexOf("/"))}/by-hash/SHA256/${listed.sha256}` : name + suffix;
  const stored = await downloadRequired(reader, `${url}/${path}`, listed.size);
  checkListed(stored, name + suffix, listed);
  const file = join(reader.directory, `index${suffix}`);
  await writeFile(file, stored);
  const content = await decompressFile(file, plain.size);
  checkListed(content, name, plain);
  return { sha256: plain.sha256, suffix, stored, entries: parsePackagesIndex(content.toString("utf8")) };
}

/**
 * Downloads one suite's indexes for `architecture` and checks them down from the signature.
 * @param base the archive's root on a mirror, with a slash at its end
 * @throws LockError LOCK_SIGNATURE_INVALID, LOCK_SIGNER_UNKNOWN, LOCK_ARCHIVE_EXPIRED, LOCK_ARCHIVE_MALFORMED, LOCK_ARCHIVE_MISSING
 */
export async function readSuite(
  reader: ArchiveReader,
  archive: Archive,
  suite: string,
  architecture: string,
  base: string,
): Promise<VerifiedSuite> {
  const folder = `dists/${suite}`;
  const path = `${folder}/InRelease`;
  const bytes = await downloadRequired(reader, base + path, MAX_RELEASE_BYTES);
  const signed = await verifyClearSigned(bytes, reader.keyring, reader.directory);
  const release = parseReleaseFile(signed.text);
  checkIdentity(release, suite, reader.now);
  const indexes: VerifiedIndex[] = [];
  for (const component of archive.components) {
    const name = `${component}/binary-${architecture}/Packages`;
    const index = await readIndex(reader, base + folder, name, release);
    indexes.push({ ...index, path: `${folder}/${name}`, component });
  }
  return { archive: archive.name, suite, inRelease: { path, bytes }, signedBy: signed.signedBy, date: release.date, indexes };
}
