import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Link } from "./audit-chain.ts";
import { listSegments, readLastLink, segmentPath } from "./audit-verify.ts";
import { KitError } from "./errors.ts";
import { syncDirectory } from "./files.ts";

/** The files of one log: appending, taking back what a failed append left, rotating. */
export interface AuditFile {
  /** Whether `bytes` more would make the current file too large. */
  isFullFor(bytes: number): boolean;
  /** Appends and flushes. What was not confirmed is taken back by the next append: nobody was answered for it. */
  append(bytes: Buffer): Promise<void>;
  /** The anchor vouches for the last append: it stays. */
  confirm(): void;
  /** Renames the current file after its first record and begins another with record `nextSeq`. */
  rotate(nextSeq: number): Promise<void>;
  /** The files to give up, oldest first, and the link that the oldest kept record follows. */
  surplus(first: Link): Promise<{ readonly paths: readonly string[]; readonly first: Link }>;
  remove(paths: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export interface AuditFileOptions {
  readonly path: string;
  /** Sequence number of the first record of the current file, also when it is still empty. */
  readonly firstSeq: number;
  /** Bytes of whole records in the current file. */
  readonly size: number;
  readonly maxBytes: number;
  readonly maxFiles: number;
}

export async function createAuditFile(options: AuditFileOptions): Promise<AuditFile> {
  const { path, maxBytes, maxFiles } = options;
  let { firstSeq, size } = options;
  let file = await openForAppend(path);
  let end = size;
  async function takeBack(): Promise<void> {
    if (end !== size) await file.truncate(size);
    end = size;
  }
  return {
    isFullFor: (bytes) => size > 0 && size + bytes > maxBytes,
    async append(bytes) {
      await takeBack();
      end = size + bytes.length;
      await file.appendFile(bytes);
      await file.datasync();
    },
    confirm() {
      size = end;
    },
    async rotate(nextSeq) {
      await takeBack();
      await rename(path, segmentPath(path, firstSeq));
      await file.close();
      file = await openForAppend(path);
      firstSeq = nextSeq;
      size = end = 0;
    },
    async surplus(first) {
      const segments = await listSegments(path, first.seq);
      const paths = segments.slice(0, Math.max(0, segments.length - maxFiles));
      const last = paths.at(-1);
      return { paths, first: last === undefined ? first : await readLastLink(last) };
    },
    async remove(paths) {
      for (const old of paths) await rm(old);
    },
    close: () => file.close(),
  };
}

async function openForAppend(path: string): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== "ELOOP") throw cause;
    throw new KitError("FILE_UNREADABLE", { expected: `${path} to be a file`, actual: "a symbolic link", cause });
  });
  await syncDirectory(dirname(path));
  return file;
}
