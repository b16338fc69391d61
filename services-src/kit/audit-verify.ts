import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Anchor, NEW_ANCHOR, readAnchor } from "./audit-anchor.ts";
import { type AuditKey, type AuditRecord, type Link, MAX_LINE_BYTES, openRecord } from "./audit-chain.ts";
import { KitError } from "./errors.ts";
import { exists } from "./files.ts";

/** Bytes after the last whole record: what a power cut in the middle of an append leaves. Nobody was ever answered for them. */
export interface Torn {
  readonly bytes: number;
  readonly sha256: string;
}

export interface AuditReport {
  /** Records that were read. */
  readonly records: number;
  readonly first: Link;
  readonly head: Link;
  /** Whole records of the current file, in bytes. */
  readonly size: number;
  readonly torn?: Torn;
}

/** A rotated-out file of a log is named after the first record in it: "x.jsonl" -> "x.jsonl.000000000101". */
export function segmentPath(path: string, firstSeq: number): string {
  return `${path}.${String(firstSeq).padStart(12, "0")}`;
}

/** Rotated-out files with records after `afterSeq`, oldest first. (Older ones were given up, but a crash kept them from being removed.) */
export async function listSegments(path: string, afterSeq: number): Promise<string[]> {
  const name = basename(path);
  const names = await readdir(dirname(path));
  const segments = names.filter((entry) => entry.startsWith(`${name}.`) && /^\d{12}$/.test(entry.slice(name.length + 1)));
  return segments
    .filter((entry) => Number(entry.slice(-12)) > afterSeq)
    .sort()
    .map((entry) => join(dirname(path), entry));
}

/**
 * Reads a whole log, rotated-out files included, against its key and anchor. A torn tail is reported, not refused.
 * @throws KitError AUDIT_MISSING, AUDIT_TRUNCATED, AUDIT_CHAIN_BROKEN, AUDIT_MAC
 */
export async function verifyAudit(path: string, key: AuditKey, anchorPath = `${path}.head`): Promise<AuditReport> {
  if (!(await exists(anchorPath))) throw missing(anchorPath, "no anchor");
  const anchor = await readAnchor(anchorPath, key);
  const segments = await listSegments(path, anchor.first.seq);
  return readChain((await exists(path)) ? [...segments, path] : segments, key, anchor);
}

/** The chain in `files`, which are one log in order; the last of them is the one that is being written. */
export async function readChain(files: readonly string[], key: AuditKey, anchor: Anchor = NEW_ANCHOR): Promise<AuditReport> {
  let head = checkAnchored(anchor.first, anchor);
  let size = 0;
  for (const file of files) {
    size = 0;
    for await (const line of readLines(file)) {
      const record = openNext(key, head, line, anchor);
      if (record === undefined && file === files.at(-1)) return conclude(anchor, head, size, await hashTail(file, size));
      if (record === undefined)
        throw new KitError("AUDIT_CHAIN_BROKEN", { expected: `${file} to end with a record`, actual: "a torn line" });
      head = checkAnchored({ seq: record.seq, mac: record.mac }, anchor);
      size += line.length;
    }
  }
  return conclude(anchor, head, size, undefined);
}

/** The anchored record must be the very one that was anchored, not one of another history of the same log. */
function checkAnchored(head: Link, anchor: Anchor): Link {
  if (head.seq === anchor.head.seq && head.mac !== anchor.head.mac) {
    throw new KitError("AUDIT_CHAIN_BROKEN", { expected: `the anchored record ${head.seq}`, actual: "another" });
  }
  return head;
}

/** The next record; undefined where a torn write explains why there is none: past the anchor, or in an unfinished line. */
function openNext(key: AuditKey, head: Link, line: Buffer, anchor: Anchor): AuditRecord | undefined {
  if (line.at(-1) !== 0x0a) return undefined;
  try {
    return openRecord(key, head, line);
  } catch (error) {
    if (head.seq >= anchor.head.seq) return undefined;
    throw error;
  }
}

function conclude(anchor: Anchor, head: Link, size: number, torn: Torn | undefined): AuditReport {
  if (head.seq < anchor.head.seq) {
    const records = head.seq - anchor.first.seq;
    if (records === 0) throw missing("the log", "no record at all");
    throw new KitError("AUDIT_TRUNCATED", { expected: `records up to ${anchor.head.seq}`, actual: `records up to ${head.seq}` });
  }
  const report = { records: head.seq - anchor.first.seq, first: anchor.first, head, size };
  return torn === undefined ? report : { ...report, torn };
}

function missing(expected: string, actual: string): KitError {
  return new KitError("AUDIT_MISSING", { expected: `${expected} to exist`, actual });
}

/**
 * The last record of a rotated-out file, not authenticated: what follows it in the next file (or the anchor) must name it.
 * @throws KitError AUDIT_CHAIN_BROKEN
 */
export async function readLastLink(segment: string): Promise<Link> {
  let last: Buffer = Buffer.alloc(0);
  const start = Math.max(0, (await stat(segment)).size - MAX_LINE_BYTES);
  for await (const line of readLines(segment, start)) last = line;
  try {
    const { seq, mac } = JSON.parse(last.toString("utf8")) as Link;
    return { seq, mac };
  } catch (cause) {
    throw new KitError("AUDIT_CHAIN_BROKEN", { expected: `${segment} to end with a record`, actual: "other bytes", cause });
  }
}

async function hashTail(file: string, start: number): Promise<Torn> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(file, { start }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Lines with their newline; the last may lack it. A line over the limit comes out cut, without one, and is the last. */
export async function* readLines(file: string, from = 0): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { start: from }) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      yield Buffer.concat([rest, chunk.subarray(start, end + 1)]);
      rest = Buffer.alloc(0);
      start = end + 1;
    }
    rest = Buffer.concat([rest, chunk.subarray(start)]);
    if (rest.length > MAX_LINE_BYTES) break;
  }
  if (rest.length > 0) yield rest;
}
