import { lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { JsonValue } from "@secai/formats/canonical-json";
import { requirePrivateDirectory } from "./credentials.ts";
import { readBounded, syncDirectory, writeAtomic } from "./files.ts";
import { OutboxError } from "./outbox-errors.ts";

/** Longest message as JSON, in bytes: what a receiver takes for a body, and its envelope. */
export const MAX_MESSAGE_BYTES = 128 * 1024;

/** One waiting message: its place in the order and its idempotency key stand in the file's name, "000000000012.KEY.json". */
export interface Waiting {
  readonly seq: number;
  readonly key: string;
}

const WAITING = /^(\d{12})\.([A-Za-z0-9_-]{16,64})\.json$/;
const REFUSED = /^\d{12}\.[A-Za-z0-9_-]{16,64}\.refused$/;

export const waitingName = ({ seq, key }: Waiting): string => `${String(seq).padStart(12, "0")}.${key}.json`;
const refusedName = (message: Waiting): string => waitingName(message).replace(/json$/, "refused");

/** @throws OutboxError OUTBOX_DIRECTORY: messages are read back and sent under our name, so nobody else may lay any there */
export async function openDirectory(directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw unavailable(error);
  });
  try {
    await requirePrivateDirectory(directory);
  } catch (cause) {
    const { mode } = await lstat(directory);
    throw new OutboxError("OUTBOX_DIRECTORY", {
      expected: `${directory}: our own directory, mode 0700`,
      actual: `mode 0${mode.toString(8)}`,
      cause,
    });
  }
}

/** What waits, in order, and how many were refused for good. What a crash left half written was promised to nobody: it goes. */
export async function listMessages(directory: string): Promise<{ waiting: Waiting[]; refused: readonly string[] }> {
  const names = (await readdir(directory)).sort();
  for (const name of names) if (name.endsWith(".new")) await rm(join(directory, name));
  const waiting = names.flatMap((name) => {
    const [, seq, key = ""] = WAITING.exec(name) ?? [];
    return seq === undefined ? [] : [{ seq: Number(seq), key }];
  });
  return { waiting, refused: names.filter((name) => REFUSED.test(name)) };
}

/** Durable when it resolves: file and directory are flushed. @throws OutboxError OUTBOX_MESSAGE, OUTBOX_UNAVAILABLE */
export async function writeMessage(directory: string, message: Waiting, value: JsonValue): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
  if (bytes.length > MAX_MESSAGE_BYTES)
    throw new OutboxError("OUTBOX_MESSAGE", { expected: `at most ${MAX_MESSAGE_BYTES} bytes`, actual: `${bytes.length}` });
  const path = join(directory, waitingName(message));
  try {
    await writeAtomic(path, bytes, 0o600);
  } catch (cause) {
    await rm(`${path}.new`, { force: true }).catch(() => {});
    throw unavailable(cause);
  }
}

/** The message, or undefined for a file that is not what was written: a torn disk block or somebody's hand. */
export async function readMessage(directory: string, message: Waiting): Promise<JsonValue | undefined> {
  try {
    const text = (await readBounded(join(directory, waitingName(message)), MAX_MESSAGE_BYTES)).toString("utf8");
    return text.endsWith("\n") ? (JSON.parse(text) as JsonValue) : undefined;
  } catch {
    return undefined;
  }
}

/** If a crash undoes the removal, the message is sent again with the same key. */
export async function removeMessage(directory: string, message: Waiting): Promise<void> {
  await rm(join(directory, waitingName(message)), { force: true });
}

/** Keeps a message that nobody will ever take, for people to look at: the `keep` newest of them. */
export async function setAside(directory: string, message: Waiting, kept: string[], keep: number): Promise<void> {
  await rename(join(directory, waitingName(message)), join(directory, refusedName(message)));
  kept.push(refusedName(message));
  for (const old of kept.splice(0, Math.max(0, kept.length - keep))) await rm(join(directory, old), { force: true });
  await syncDirectory(directory);
}

function unavailable(cause: unknown): OutboxError {
  return new OutboxError("OUTBOX_UNAVAILABLE", { expected: "the message on the disk", actual: (cause as Error).message, cause });
}
