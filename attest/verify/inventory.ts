import { constants, type Dirent, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { isFileName, lookAlikes } from "@secai/formats/file-name";
import { MAX_OCI_DOCUMENT_BYTES, type Place, placeOf, type Role } from "@secai/formats/release-layout";
import type { FileIdentity } from "./hash-file.ts";
import { hashAll } from "./hash-pool.ts";
import { type MediumClaim, readMediumClaim } from "./medium-digest.ts";

export interface FileFact {
  readonly sha256: Sha256;
  /** Bytes. */
  readonly size: number;
  /** The very bytes that were hashed, for files that are parsed. */
  readonly bytes?: Buffer;
  /** What a medium says that it installs. */
  readonly claim?: MediumClaim;
  readonly identity: FileIdentity;
}

/** Something that may not be in a release directory, whatever the lists say. */
export interface LayoutProblem {
  readonly path: string;
  readonly code: LayoutCode;
  readonly actual: string;
}
export type LayoutCode =
  | "NAME_UNSAFE"
  | "NAME_LOOKS_ALIKE"
  | "NOT_A_PLAIN_FILE"
  | "HARD_LINK"
  | "FILE_UNKNOWN"
  | "FILE_TOO_LARGE"
  | "FILE_UNREADABLE"
  | "DIRECTORY_EMPTY"
  | "TOO_MANY_FILES";

export interface Inventory {
  readonly files: ReadonlyMap<string, FileFact>;
  readonly problems: readonly LayoutProblem[];
}

/** Digests of files whose bytes this process has hashed already; each counts only while the file's identity is the same. */
export type KnownFiles = ReadonlyMap<string, FileFact>;

const MAX_FILES = 4096;
const MAX_DEPTH = 4;
const READ_NO_FOLLOW = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

interface Found {
  readonly name: string;
  readonly identity: FileIdentity;
}
interface Walk {
  readonly found: Found[];
  readonly problems: LayoutProblem[];
}

/**
 * What lies in a directory, by relative name, each byte read once. Follows no symbolic link, opens nothing but plain files that have a
 * place in a release, and reads into memory only what is parsed, up to its limit.
 */
export async function takeInventory(dir: string, known: KnownFiles = new Map(), meanwhile?: Meanwhile): Promise<Inventory> {
  const walk: Walk = { found: [], problems: [] };
  walkInto(dir, "", 1, walk);
  walk.problems.push(...lookAlikeProblems(walk.found), ...hardLinkProblems(walk.found));
  const files = await readAll(dir, walk, known, meanwhile);
  return { files, problems: walk.problems };
}

/** Work on the files that are read, while another thread hashes those that are only hashed; `read` lacks these. */
export type Meanwhile = (read: Inventory) => void;

/** Not asynchronous, as everything here: there is nothing else to do meanwhile, and each promise of a file costs more than a small file. */
function walkInto(dir: string, prefix: string, depth: number, walk: Walk): void {
  const listed = readdirSync(join(dir, prefix), { withFileTypes: true });
  const entries = listed.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  if (entries.length === 0) walk.problems.push({ path: prefix || ".", code: "DIRECTORY_EMPTY", actual: "an empty directory" });
  for (const entry of entries) {
    const name = `${prefix}${entry.name}`;
    if (walk.found.length >= MAX_FILES) {
      walk.problems.push({ path: name, code: "TOO_MANY_FILES", actual: `more than ${MAX_FILES}` });
      return;
    }
    if (!isFileName(name)) walk.problems.push({ path: name, code: "NAME_UNSAFE", actual: JSON.stringify(name) });
    else if (entry.isDirectory() && depth < MAX_DEPTH) walkInto(dir, `${name}/`, depth + 1, walk);
    else addFile(dir, name, entry, walk);
  }
}

function addFile(dir: string, name: string, entry: Dirent, { found, problems }: Walk): void {
  if (!entry.isFile()) {
    problems.push({ path: name, code: "NOT_A_PLAIN_FILE", actual: kindOf(entry) });
    return;
  }
  const { dev, ino, size, mtimeNs, ctimeNs } = lstatSync(join(dir, name), { bigint: true });
  found.push({ name, identity: { dev, ino, size, mtimeNs, ctimeNs } });
}

function kindOf(entry: Dirent): string {
  if (entry.isSymbolicLink()) return "a symbolic link";
  if (entry.isDirectory()) return "a directory too deep";
  if (entry.isFIFO()) return "a pipe";
  if (entry.isSocket()) return "a socket";
  return "a device";
}

function lookAlikeProblems(found: readonly Found[]): readonly LayoutProblem[] {
  return lookAlikes(found.map(({ name }) => name)).flatMap((group) =>
    group.map((path): LayoutProblem => ({ path, code: "NAME_LOOKS_ALIKE", actual: group.join(" and ") })),
  );
}

/** Two names of one file: a change to either changes both, and one of the two is not what it says. */
function hardLinkProblems(found: readonly Found[]): readonly LayoutProblem[] {
  const first = new Map<string, string>();
  return found.flatMap(({ name, identity: { dev, ino } }): readonly LayoutProblem[] => {
    const other = first.get(`${dev}:${ino}`);
    if (other !== undefined) return [{ path: name, code: "HARD_LINK", actual: `the same file as ${other}` }];
    first.set(`${dev}:${ino}`, name);
    return [];
  });
}

async function readAll(
  dir: string,
  { found, problems }: Walk,
  known: KnownFiles,
  meanwhile: Meanwhile | undefined,
): Promise<ReadonlyMap<string, FileFact>> {
  const files = new Map<string, FileFact>();
  const toHash: Found[] = [];
  const toRead: Found[] = [];
  for (const file of found) {
    const place = placeOf(file.name);
    const before = known.get(file.name);
    if (place === undefined) problems.push({ path: file.name, code: "FILE_UNKNOWN", actual: "a file that no release has" });
    else if (before !== undefined && isSame(before.identity, file.identity)) files.set(file.name, before);
    else if (isRead(place, file.identity)) toRead.push(file);
    else if (place.parsedUpTo === undefined) toHash.push(file);
    else problems.push({ path: file.name, code: "FILE_TOO_LARGE", actual: `${file.identity.size} bytes` });
  }
  const jobs = toHash.map(({ name, identity }) => ({ path: join(dir, name), size: Number(identity.size) }));
  const hashed = await hashAll(jobs, () => {
    for (const { name, identity } of toRead) readOne(dir, name, identity, files, problems);
    meanwhile?.({ files: new Map(files), problems: [...problems] });
  });
  for (const { name, identity } of toHash) {
    const result = hashed.get(join(dir, name)) ?? { error: "NOT_HASHED" };
    if ("error" in result) problems.push({ path: name, code: "FILE_UNREADABLE", actual: result.error });
    else if (!isSame(result.identity, identity)) problems.push({ path: name, code: "FILE_UNREADABLE", actual: "CHANGED" });
    else
      files.set(name, {
        sha256: result.sha256 as Sha256,
        size: Number(identity.size),
        identity,
        ...(await claimOf(dir, name, identity)),
      });
  }
  return files;
}

/** Kept in memory for the checks: what has a limit and keeps it, boot files, and the small blobs of an OCI layout, which are its documents. */
function isRead({ role, parsedUpTo }: Pick<Place, "role" | "parsedUpTo">, { size }: FileIdentity): boolean {
  const limit = parsedUpTo ?? KEPT_UP_TO[role];
  return limit !== undefined && size <= BigInt(limit);
}

/** Files that are only hashed when they are larger than this, in bytes; a UKI is a tenth of its limit. */
const KEPT_UP_TO: Partial<Record<Role, number>> = {
  uki: 256 << 20,
  "boot-loader": 16 << 20,
  "oci-blob": MAX_OCI_DOCUMENT_BYTES,
};

async function claimOf(dir: string, name: string, identity: FileIdentity): Promise<{ readonly claim?: MediumClaim }> {
  const role = placeOf(name)?.role;
  if (role !== "disk-ova" && role !== "installer-iso") return {};
  return { claim: await readMediumClaim(join(dir, name), role === "disk-ova" ? "ova" : "iso", identity) };
}

function readOne(
  dir: string,
  name: string,
  identity: FileIdentity,
  files: Map<string, FileFact>,
  problems: LayoutProblem[],
): void {
  try {
    const bytes = readFileSync(join(dir, name), { flag: READ_NO_FOLLOW });
    if (BigInt(bytes.length) !== identity.size) problems.push({ path: name, code: "FILE_UNREADABLE", actual: "CHANGED" });
    else files.set(name, { sha256: sha256(bytes), size: bytes.length, bytes, identity });
  } catch (error) {
    problems.push({ path: name, code: "FILE_UNREADABLE", actual: (error as NodeJS.ErrnoException).code ?? "UNREADABLE" });
  }
}

function isSame(a: FileIdentity, b: FileIdentity): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}
