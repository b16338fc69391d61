import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { literal, object, parseShape, table, text } from "@secai/formats/shape";
import { MAX_STATEMENT_BYTES, MAX_STATEMENTS, STATEMENT_SUFFIX } from "./api/enrolment.ts";
import { DeploymentError } from "./deployment-errors.ts";
import { exists, readBounded, syncDirectory, writeAtomic } from "./files.ts";
import { parseStrictJson } from "./json.ts";
import { claimedRoot } from "./release-statement.ts";

// The folder in which the attestor finds statements about the releases that this machine may boot: the one that runs, the one before, the
// next. Beside them lies which deployment each belongs to, because bootc names deployments by their images and not by root hashes.

const RECORD = "deployments.json";
const MAX_RECORD_BYTES = 64 * 1024;
const UNFINISHED = ".new";

const digestText = text(/^sha256:[0-9a-f]{64}$/, 71);
const recordShape = object({
  version: literal(1),
  /** Digest of the image by the root hash in it. */
  roots: table(/^[0-9a-f]{64}$/, digestText, { max: MAX_STATEMENTS }),
});
type Roots = Readonly<Record<string, string>>;

export interface Known {
  /** 64 hex digits. */
  readonly rootHash: string;
  /** Digest of the image, "sha256:" and 64 hex digits. */
  readonly digest: string;
}

export interface Kept {
  readonly running: Known;
  readonly next: Known;
  /** Digests of every other image that the machine could boot. */
  readonly others: readonly string[];
}

/**
 * Puts the statement about the next release into `directory`, for the attestor alone to read, and takes away those of releases that cannot
 * be booted any more. A crash leaves the statement whole or absent, and never one less than before for a release that can be booted.
 * @throws DeploymentError UPDATE_STATEMENTS_UNUSABLE
 */
export async function placeStatement(directory: string, statement: Uint8Array, kept: Kept): Promise<void> {
  await usable(directory, async () => {
    await makeDirectory(directory);
    const { running, next } = kept;
    const roots = { ...(await readRecord(directory)), [running.rootHash]: running.digest, [next.rootHash]: next.digest };
    await tidy(directory, keptRoots(roots, kept), roots);
    await writeAtomic(join(directory, `${next.rootHash}${STATEMENT_SUFFIX}`), statement, 0o600);
  });
}

/** Once the next release is staged: what it took the place of goes. @throws DeploymentError UPDATE_STATEMENTS_UNUSABLE */
export async function dropStatements(directory: string, kept: Kept): Promise<void> {
  await usable(directory, async () => {
    const roots = await readRecord(directory);
    await tidy(directory, keptRoots(roots, kept), roots);
  });
}

/** Root hashes of everything that may be booted. */
function keptRoots(roots: Roots, { running, next, others }: Kept): ReadonlySet<string> {
  const digests = new Set([running.digest, next.digest, ...others]);
  const known = Object.entries(roots).flatMap(([root, digest]) => (digests.has(digest) ? [root] : []));
  return new Set([...known, running.rootHash, next.rootHash]);
}

/** The record is written after the removals: it may name what is not there, but what is there and needed is never missing in it. */
async function tidy(directory: string, keep: ReadonlySet<string>, roots: Roots): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (name.endsWith(UNFINISHED) || (name.endsWith(STATEMENT_SUFFIX) && !keep.has((await claimOf(path)) ?? ""))) await rm(path);
  }
  await writeRecord(directory, Object.fromEntries(Object.entries(roots).filter(([root]) => keep.has(root))));
}

/** By what it speaks of, whatever its name: an operator may have put it there under the name that it has in a release. */
async function claimOf(path: string): Promise<string | undefined> {
  const { size } = await lstat(path);
  return size > MAX_STATEMENT_BYTES ? undefined : claimedRoot(await readBounded(path, MAX_STATEMENT_BYTES));
}

async function readRecord(directory: string): Promise<Roots> {
  const path = join(directory, RECORD);
  if (!(await exists(path))) return {};
  return parseShape(recordShape, parseStrictJson(await readBounded(path, MAX_RECORD_BYTES)), RECORD).roots;
}

const writeRecord = (directory: string, roots: Roots): Promise<void> =>
  writeAtomic(join(directory, RECORD), `${JSON.stringify({ version: 1, roots })}\n`, 0o600);

/** Ours and nobody else's to write: who can put a link there could have another file replaced. */
async function makeDirectory(directory: string): Promise<void> {
  if (!(await exists(directory))) {
    await mkdir(directory, { mode: 0o700 });
    await syncDirectory(dirname(directory));
  }
  const opened = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { mode, uid } = await opened.stat();
    if (uid !== process.geteuid?.() || (mode & 0o022) !== 0)
      throw new DeploymentError("UPDATE_STATEMENTS_UNUSABLE", {
        expected: `${directory} written by this user alone`,
        actual: `mode 0${(mode & 0o7777).toString(8)}, uid ${uid}`,
      });
  } finally {
    await opened.close();
  }
}

async function usable(directory: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (cause instanceof DeploymentError) throw cause;
    const expected = `to keep statements in ${directory}`;
    throw new DeploymentError("UPDATE_STATEMENTS_UNUSABLE", { expected, actual: (cause as Error).message, cause });
  }
}
