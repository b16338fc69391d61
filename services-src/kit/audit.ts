import { truncate } from "node:fs/promises";
import { type Anchor, createAnchor, openAnchor, readAnchor } from "./audit-anchor.ts";
import type { AuditKey, AuditRecord, Link } from "./audit-chain.ts";
import { createAuditFile } from "./audit-file.ts";
import { type AuditReport, listSegments, readChain, readLastLink } from "./audit-verify.ts";
import { createAuditWriter } from "./audit-writer.ts";
import { KitError } from "./errors.ts";
import { exists } from "./files.ts";
import type { Clock } from "./sources.ts";

export interface AuditOptions {
  readonly path: string;
  /** Default: `${path}.head`. Better in another directory, so that removing one directory does not remove both. */
  readonly anchorPath?: string;
  readonly key: AuditKey;
  readonly clock: Clock;
  /** A file that would grow beyond this is rotated out. Default 4 MiB, about 8000 records: what a start must read stays bounded. */
  readonly maxFileBytes?: number;
  /** Rotated-out files that are kept; older ones are removed. Default 64. */
  readonly maxFiles?: number;
}

export interface AuditLog {
  /**
   * Resolves when the record is on the disk and anchored; only then may the caller act on what it recorded.
   * @throws KitError AUDIT_UNAVAILABLE
   */
  append(type: string, data: AuditRecord["data"]): Promise<Link>;
  /** The last anchored record. */
  head(): Link;
  /** Why the last attempt to write failed; undefined while records can be written. */
  fault(): KitError | undefined;
  /** Waits for what was appended; later appends are refused. */
  close(): Promise<void>;
}

/**
 * Opens a keyed, hash-chained log of JSON lines. Its current file is checked first (older ones by `verifyAudit`, so that a start is quick
 * however long the log). A tail torn by a power cut is cut off and said so in a `repaired` record; a new chain begins with `created`.
 * @throws KitError AUDIT_MISSING, AUDIT_TRUNCATED, AUDIT_CHAIN_BROKEN, AUDIT_MAC
 */
export async function openAudit(options: AuditOptions): Promise<AuditLog> {
  const { path, key, anchorPath = `${path}.head` } = options;
  const isNew = await createIfNew(path, anchorPath, key);
  const { generation, first, head: anchored } = await readAnchor(anchorPath, key);
  const { first: before, head, size, torn } = await readCurrent(path, key, { first, head: anchored });
  if (torn !== undefined) await truncate(path, size);
  const log = createAuditWriter({
    key,
    clock: options.clock,
    anchor: { first, head },
    file: await createAuditFile({
      path,
      firstSeq: before.seq + 1,
      size,
      maxBytes: options.maxFileBytes ?? 4 << 20,
      maxFiles: options.maxFiles ?? 64,
    }),
    anchorFile: await openAnchor(anchorPath, key, generation),
  });
  if (isNew) await log.append("created", {});
  if (torn !== undefined) await log.append("repaired", { ...torn });
  return log;
}

/** Anchor first: a crash between the two leaves an anchor that vouches for nothing, which is no alarm. */
async function createIfNew(path: string, anchorPath: string, key: AuditKey): Promise<boolean> {
  if (await exists(anchorPath)) return false;
  if ((await exists(path)) || (await listSegments(path, 0)).length > 0) {
    throw new KitError("AUDIT_MISSING", { expected: `${anchorPath} to exist`, actual: "a log without its anchor" });
  }
  await createAnchor(anchorPath, key);
  return true;
}

/** The chain of the current file, which follows the newest rotated-out one. (A crash in a rotation may leave no current file.) */
async function readCurrent(path: string, key: AuditKey, anchor: Anchor): Promise<AuditReport> {
  const newest = (await listSegments(path, anchor.first.seq)).at(-1);
  const first = newest === undefined ? anchor.first : await readLastLink(newest);
  return readChain((await exists(path)) ? [path] : [], key, { first, head: anchor.head });
}
