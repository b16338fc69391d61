import { lstat, truncate } from "node:fs/promises";
import { type Anchor, createAnchor, openAnchor, readAnchor } from "@secai/kit/audit-anchor";
import { type AuditKey, type AuditRecord, GENESIS, type Link } from "@secai/kit/audit-chain";
import { createAuditFile } from "@secai/kit/audit-file";
import { exists } from "@secai/kit/files";
import type { Clock } from "@secai/kit/sources";
import { RecorderError } from "../errors.ts";
import { createState, type Event, type State } from "../state.ts";
import { readChainFile, storeError, storeKeys } from "./chain.ts";
import { isPlainFile, journalPath, listJournals, openStoreDirectory, removeOldJournals, snapshotPath } from "./files.ts";
import { readSnapshot } from "./snapshot.ts";
import { createStore, type Store } from "./store.ts";

export interface StoreOptions {
  readonly directory: string;
  /** Better outside `directory`, so that removing one does not remove both. */
  readonly anchorPath: string;
  readonly auditKey: AuditKey;
  readonly clock: Clock;
  /** False: the store must exist, because something else remembers it. */
  readonly mayCreate: boolean;
  /** The journal is folded into the snapshot when it is larger than this and than the snapshot. Default 1 MiB. */
  readonly compactBytes?: number;
}

export interface Opened {
  readonly store: Store;
  /** Bytes that a crash left behind the last whole record, answered to nobody: cut off. */
  readonly tornBytes: number;
  readonly isNew: boolean;
}

/**
 * Opens the incident store: a snapshot and a journal of what happened since, both chained and keyed, and an anchor that says how far the
 * journal reaches.
 * @throws RecorderError STORE_DIRECTORY, STORE_FILE, STORE_MAC, STORE_BROKEN, STORE_TRUNCATED, STORE_MISSING, STORE_REPLACED
 */
export async function openStore(options: StoreOptions): Promise<Opened> {
  const { directory, anchorPath, clock } = options;
  const keys = storeKeys(options.auditKey);
  await openStoreDirectory(directory);
  const isNew = await createIfNew(options, keys.journal);
  const anchor = await readAnchor(anchorPath, keys.journal).catch((error: unknown) => {
    throw storeError(anchorPath, error);
  });
  const state = createState();
  const { at, size: snapshotBytes } = await loadSnapshot(directory, keys.snapshot, state, anchor);
  const path = journalPath(directory, at.seq + 1);
  const { head, size, tornBytes } = await replay(path, keys.journal, at, anchor, state);
  if (tornBytes > 0) await truncate(path, size);
  const file = await createAuditFile({ path, firstSeq: at.seq + 1, size, maxBytes: Number.POSITIVE_INFINITY, maxFiles: 1 });
  const anchorFile = await openAnchor(anchorPath, keys.journal, anchor.generation);
  await anchorFile.write({ first: at, head });
  await removeOldJournals(directory, path);
  const compactBytes = options.compactBytes ?? 1 << 20;
  const store = createStore({
    directory,
    keys,
    clock,
    state,
    first: at,
    head,
    file,
    anchorFile,
    journalBytes: size,
    snapshotBytes,
    compactBytes,
  });
  return { store, tornBytes, isNew };
}

/** Anchor first: a crash between the two leaves an anchor that vouches for nothing. */
async function createIfNew({ directory, anchorPath, mayCreate }: StoreOptions, key: AuditKey): Promise<boolean> {
  if (await exists(anchorPath)) return false;
  const left = [
    ...(await listJournals(directory)),
    ...((await exists(snapshotPath(directory))) ? [snapshotPath(directory)] : []),
  ];
  if (left.length > 0) throw missing(anchorPath, "a store without its anchor");
  if (!mayCreate) throw missing(anchorPath, "an audit log of a store that is gone");
  await createAnchor(anchorPath, key);
  return true;
}

/** @throws RecorderError STORE_FILE, STORE_MISSING, STORE_REPLACED */
async function loadSnapshot(
  directory: string,
  key: AuditKey,
  state: State,
  anchor: Anchor,
): Promise<{ readonly at: Link; readonly size: number }> {
  const path = snapshotPath(directory);
  if (!(await isPlainFile(path))) {
    if (anchor.first.seq !== GENESIS.seq) throw missing(path, "no snapshot");
    return { at: GENESIS, size: 0 };
  }
  const snapshot = await readSnapshot(path, key, state);
  // A crash right after the snapshot took its place: the anchor still names the journal that it was made of, up to its very end.
  if (isSame(snapshot.at, anchor.first) || isSame(snapshot.at, anchor.head)) return snapshot;
  throw new RecorderError("STORE_REPLACED", {
    expected: `${path} at record ${anchor.first.seq} or ${anchor.head.seq}`,
    actual: `record ${snapshot.at.seq}`,
  });
}

const isSame = (one: Link, other: Link): boolean => one.seq === other.seq && one.mac === other.mac;

/** @throws RecorderError STORE_FILE, STORE_MISSING, STORE_TRUNCATED, STORE_BROKEN, STORE_MAC */
async function replay(
  path: string,
  key: AuditKey,
  start: Link,
  { head: anchored }: Anchor,
  state: State,
): Promise<{ readonly head: Link; readonly size: number; readonly tornBytes: number }> {
  if (!(await isPlainFile(path))) {
    if (anchored.seq > start.seq) throw missing(path, "no journal");
    return { head: start, size: 0, tornBytes: 0 };
  }
  const end = await readChainFile(path, key, { start, sealedTo: anchored.seq }, (record) => {
    if (record.seq === anchored.seq && record.mac !== anchored.mac)
      throw new RecorderError("STORE_BROKEN", { expected: `${path}: the anchored record ${anchored.seq}`, actual: "another" });
    state.apply(toEvent(record));
  });
  if (end.head.seq < anchored.seq)
    throw new RecorderError("STORE_TRUNCATED", {
      expected: `${path}: records up to ${anchored.seq}`,
      actual: `records up to ${end.head.seq}`,
    });
  return { head: end.head, size: end.size, tornBytes: end.torn ? (await lstat(path)).size - end.size : 0 };
}

/** Genuine lines were made by eventBody: the MAC is the check. */
function toEvent({ type, data }: AuditRecord): Event {
  return { type, ...data } as unknown as Event;
}

function missing(expected: string, actual: string): RecorderError {
  return new RecorderError("STORE_MISSING", { expected: `${expected} to exist`, actual });
}
