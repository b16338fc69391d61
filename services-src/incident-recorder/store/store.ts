import { rename, rm } from "node:fs/promises";
import type { AnchorFile } from "@secai/kit/audit-anchor";
import { type AuditKey, type Link, MAX_LINE_BYTES, sealRecord } from "@secai/kit/audit-chain";
import { type AuditFile, createAuditFile } from "@secai/kit/audit-file";
import { syncDirectory } from "@secai/kit/files";
import type { Clock } from "@secai/kit/sources";
import { RecorderError } from "../errors.ts";
import type { Event, State } from "../state.ts";
import { journalPath, removeOldJournals, snapshotPath } from "./files.ts";
import { eventBody, writeSnapshot } from "./snapshot.ts";

/** Transactions that wait for the disk; further callers are told no at once instead of filling the memory. */
const MAX_WAITING = 1024;
/** Longest time for which a patient transaction waits for others to share its flushes with. */
const PATIENCE_MS = 20;

export interface Outcome<R> {
  readonly events: readonly Event[];
  readonly result: R;
}

export interface Store {
  readonly state: Pick<State, "incidents" | "standing" | "usage" | "hardware">;
  /**
   * Decides on the state as it is when its turn comes, and resolves when what it decided is on the disk. `alongside` begins as soon as it
   * is decided, so that it need not wait for this disk write; both must succeed. What `decide` throws changes nothing.
   * @throws RecorderError STORE_UNAVAILABLE, and whatever `decide` throws
   */
  transact<R>(
    decide: (state: State) => Outcome<R>,
    alongside?: (result: R) => Promise<unknown>,
    /** Nobody waits for it: it may share the flushes of the next one that somebody waits for. */
    patient?: boolean,
  ): Promise<R>;
  head(): Link;
  /** Why the last attempt to write failed; undefined while the store can be written. */
  fault(): RecorderError | undefined;
  close(): Promise<void>;
}

export interface StoreParts {
  readonly directory: string;
  readonly keys: { readonly journal: AuditKey; readonly snapshot: AuditKey };
  readonly clock: Clock;
  readonly state: State;
  readonly first: Link;
  readonly head: Link;
  readonly file: AuditFile;
  readonly anchorFile: AnchorFile;
  readonly journalBytes: number;
  readonly snapshotBytes: number;
  readonly compactBytes: number;
}

interface Waiting {
  /** Decides and applies; what it returns takes that back. Undefined: it was refused and is done with. */
  run(): { readonly events: readonly Event[]; undo(): void; resolve(): void; reject(error: RecorderError): void } | undefined;
  reject(error: RecorderError): void;
}

/**
 * Group commit: what arrives while the disk is busy shares the next write and its two flushes (journal, then anchor). Readers may see what
 * is being written; nobody is answered before it is.
 */
export function createStore(parts: StoreParts): Store {
  const { directory, keys, clock, state, anchorFile } = parts;
  let { first, head, file, journalBytes, snapshotBytes } = parts;
  let waiting: Waiting[] = [];
  let running: Promise<void> | undefined;
  /** Somebody waits for what is in line, or it has waited long enough. */
  let urgent = false;
  let patience: NodeJS.Timeout | undefined;
  let closed = false;
  let renamed = false;
  let compactAt = parts.compactBytes;
  let fault: RecorderError | undefined;

  async function commit(batch: readonly Waiting[]): Promise<void> {
    const decided = batch.flatMap((entry) => entry.run() ?? []);
    try {
      await write(decided.flatMap(({ events }) => events));
      fault = undefined;
    } catch (cause) {
      fault = unavailable((cause as Error).message, cause);
      for (const { undo } of decided.toReversed()) undo();
      for (const { reject } of decided) reject(fault);
      return;
    }
    for (const { resolve } of decided) resolve();
    await compactIfLarge();
  }

  async function write(events: readonly Event[]): Promise<void> {
    if (events.length === 0) return;
    const time = new Date(clock.nowMs()).toISOString();
    let link = head;
    const lines = events.map((event) => {
      const sealed = sealRecord(keys.journal, link, { time, ...eventBody(event) });
      if (sealed.line.length > MAX_LINE_BYTES) throw new Error("a record that no line can hold");
      link = sealed.link;
      return sealed.line;
    });
    const bytes = Buffer.from(lines.join(""));
    await file.append(bytes);
    await anchor(link);
    file.confirm();
    head = link;
    journalBytes += bytes.length;
  }

  /** The new journal, the snapshot, the anchor that begins with both, and the old journal goes: a start understands a crash anywhere between. */
  async function compact(): Promise<void> {
    const path = journalPath(directory, head.seq + 1);
    const next = await createAuditFile({
      path,
      firstSeq: head.seq + 1,
      size: 0,
      maxBytes: Number.POSITIVE_INFINITY,
      maxFiles: 1,
    });
    const snapshot = snapshotPath(directory);
    try {
      snapshotBytes = await writeSnapshot(`${snapshot}.new`, keys.snapshot, state, head, clock);
      await rename(`${snapshot}.new`, snapshot);
    } catch (error) {
      await next.close();
      await rm(path, { force: true });
      throw error;
    }
    // From here on the old journal must not grow: it would no longer follow the snapshot.
    const old = file;
    [file, first, journalBytes, renamed] = [next, head, 0, true];
    await old.close();
    await anchor(head);
    await removeOldJournals(directory, path);
  }

  /** No anchor may name a snapshot that a power cut could take back. */
  async function anchor(next: Link): Promise<void> {
    if (renamed) await syncDirectory(directory);
    renamed = false;
    await anchorFile.write({ first, head: next });
  }

  async function compactIfLarge(): Promise<void> {
    if (journalBytes < Math.max(compactAt, snapshotBytes)) return;
    try {
      await compact();
      compactAt = parts.compactBytes;
    } catch (cause) {
      // Everything is on the disk, only not shorter. Later again: not at every commit of a full disk.
      compactAt = journalBytes + parts.compactBytes;
      fault = unavailable((cause as Error).message, cause);
    }
  }

  async function drain(): Promise<void> {
    while (urgent) {
      urgent = false;
      clearTimeout(patience);
      patience = undefined;
      const batch = waiting;
      waiting = [];
      await commit(batch);
    }
    running = undefined;
  }

  function begin(): void {
    if (waiting.length === 0) return;
    urgent = true;
    running ??= drain();
  }

  function enqueue(entry: Waiting, patient: boolean): void {
    const refusal = closed ? "a closed store" : waiting.length >= MAX_WAITING ? `${MAX_WAITING} waiting transactions` : undefined;
    if (refusal !== undefined) {
      entry.reject(unavailable(refusal));
      return;
    }
    waiting.push(entry);
    if (patient) patience ??= setTimeout(begin, PATIENCE_MS);
    else begin();
  }

  return {
    state,
    transact: (decide, alongside, patient = false) =>
      new Promise((resolve, reject) => enqueue(transaction(state, decide, alongside, resolve, reject), patient)),
    head: () => head,
    fault: () => fault,
    async close() {
      closed = true;
      begin();
      await running;
      await file.close();
      await anchorFile.close();
    },
  };
}

function transaction<R>(
  state: State,
  decide: (state: State) => Outcome<R>,
  alongside: ((result: R) => Promise<unknown>) | undefined,
  resolve: (result: R) => void,
  reject: (error: unknown) => void,
): Waiting {
  return {
    reject,
    run() {
      let outcome: Outcome<R>;
      try {
        outcome = decide(state);
      } catch (error) {
        reject(error);
        return undefined;
      }
      const { events, result } = outcome;
      const undo = events.map((event) => state.apply(event));
      const beside = Promise.resolve(alongside?.(result));
      beside.catch(() => {});
      return {
        events,
        undo() {
          for (const step of undo.toReversed()) step();
        },
        resolve: () => void beside.then(() => resolve(result), reject),
        reject,
      };
    },
  };
}

function unavailable(actual: string, cause?: unknown): RecorderError {
  return new RecorderError("STORE_UNAVAILABLE", { expected: "the record on the disk", actual, cause });
}
