import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { type AuditKey, GENESIS, type Link, sealRecord } from "@secai/kit/audit-chain";
import { canonicalJson } from "@secai/kit/digest";
import type { Clock } from "@secai/kit/sources";
import { RecorderError } from "../errors.ts";
import type { Event, Remembered, State, Stored } from "../state.ts";
import { readChainFile } from "./chain.ts";

/** Lines that are written at once: between two writes the event loop serves others. */
const LINES_A_WRITE = 64;

interface Head {
  /** The last record of the journal that the snapshot stands for. */
  readonly at: Link;
  readonly created: number;
  readonly hardware: boolean;
}

interface Body {
  readonly type: string;
  /** RFC 8785 form. */
  readonly data: string;
}
const body = (type: string, data: object): Body => ({ type, data: canonicalJson(data) });

function* bodies(state: State, at: Link): Generator<Body> {
  yield body("snapshot", { at, created: state.created(), hardware: state.hardware() } satisfies Head);
  for (const stored of state.incidents.values()) yield body("incident", stored);
  for (const remembered of state.keys()) yield body("key", remembered);
  yield body("end", {});
}

/**
 * Writes the whole state to a new file and flushes it; its place is taken by a rename. A chain of its own, one record an incident, so that neither
 * writing nor reading ever holds it whole.
 */
export async function writeSnapshot(path: string, key: AuditKey, state: State, at: Link, clock: Clock): Promise<number> {
  await rm(path, { force: true });
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    const size = await writeLines(file, key, bodies(state, at), new Date(clock.nowMs()).toISOString());
    await file.sync();
    return size;
  } catch (error) {
    await rm(path, { force: true }).catch(() => {});
    throw error;
  } finally {
    await file.close();
  }
}

async function writeLines(file: FileHandle, key: AuditKey, from: Iterable<Body>, time: string): Promise<number> {
  let link = GENESIS;
  let size = 0;
  let lines: string[] = [];
  const flush = async (): Promise<void> => {
    const bytes = Buffer.from(lines.join(""));
    lines = [];
    size += bytes.length;
    await file.appendFile(bytes);
  };
  for (const next of from) {
    const sealed = sealRecord(key, link, { time, ...next });
    link = sealed.link;
    lines.push(sealed.line);
    if (lines.length >= LINES_A_WRITE) await flush();
  }
  await flush();
  return size;
}

/**
 * Fills an empty state. Which journal record it stands for is the caller's to compare.
 * @throws RecorderError STORE_MAC, STORE_BROKEN, STORE_TRUNCATED
 */
export async function readSnapshot(
  path: string,
  key: AuditKey,
  state: State,
): Promise<{ readonly at: Link; readonly size: number }> {
  let head: Head | undefined;
  let ended = false;
  const { size } = await readChainFile(path, key, { sealedTo: Number.MAX_SAFE_INTEGER }, ({ type, data }) => {
    if (ended) throw new RecorderError("STORE_BROKEN", { expected: `${path} to end`, actual: "more records" });
    if (type === "snapshot") head = data as unknown as Head;
    else if (type === "end") ended = true;
    else state.apply(eventOf(type, data));
  });
  if (head === undefined || !ended)
    throw new RecorderError("STORE_TRUNCATED", { expected: `${path} to its end`, actual: "less" });
  state.restore(head);
  return { at: head.at, size };
}

function eventOf(type: string, data: unknown): Event {
  return type === "incident"
    ? { type: "created", stored: data as Stored }
    : { type: "remembered", remembered: data as Remembered };
}

export function eventBody({ type, ...data }: Event): Body {
  return body(type, data);
}
