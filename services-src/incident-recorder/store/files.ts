import { lstat, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { requirePrivateDirectory } from "@secai/kit/credentials";
import { RecorderError } from "../errors.ts";

const JOURNAL = /^journal-\d{15}\.jsonl$/;

/** The journal that begins with record `firstSeq`. */
export const journalPath = (directory: string, firstSeq: number): string =>
  join(directory, `journal-${String(firstSeq).padStart(15, "0")}.jsonl`);

export const snapshotPath = (directory: string): string => join(directory, "snapshot.jsonl");

/** @throws RecorderError STORE_DIRECTORY */
export async function openStoreDirectory(directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  try {
    await requirePrivateDirectory(directory);
  } catch (cause) {
    const { mode } = await lstat(directory);
    throw new RecorderError("STORE_DIRECTORY", {
      expected: `${directory}: our own directory, mode 0700`,
      actual: `mode 0${mode.toString(8)}`,
      cause,
    });
  }
}

/** Whether the file is there. @throws RecorderError STORE_FILE if it is, but is not a plain file of ours */
export async function isPlainFile(path: string): Promise<boolean> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found === undefined) return false;
  const { mode, nlink, uid } = found;
  if (found.isFile() && nlink === 1 && uid === process.getuid?.() && (mode & 0o077) === 0) return true;
  throw new RecorderError("STORE_FILE", {
    expected: `${path}: a plain file of our own, mode 0600, with one name`,
    actual: `mode 0${mode.toString(8)}, ${nlink} names, user ${uid}`,
  });
}

export async function listJournals(directory: string): Promise<readonly string[]> {
  return (await readdir(directory)).filter((name) => JOURNAL.test(name)).map((name) => join(directory, name));
}

/** Journals that a snapshot stands for by now: a crash may have kept them from being removed. */
export async function removeOldJournals(directory: string, current: string): Promise<void> {
  for (const path of await listJournals(directory)) if (path !== current) await rm(path, { force: true });
}
