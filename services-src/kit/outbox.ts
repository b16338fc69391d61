import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonValue } from "@secai/formats/canonical-json";
import { errorFields, type Log } from "./log.ts";
import { OutboxError } from "./outbox-errors.ts";
import { listMessages, openDirectory, readMessage, removeMessage, setAside, type Waiting, writeMessage } from "./outbox-files.ts";
import type { Clock } from "./sources.ts";

const MAX_MESSAGES = 1000;
/** Refused messages that are kept for people to look at. */
const MAX_REFUSED = 100;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

/** Messages for another service that survive its being down and our own end: in order, bounded, at least once. */
export interface Outbox<T> {
  /**
   * Resolves when the message is durably queued; returns its idempotency key.
   * @throws OutboxError OUTBOX_FULL, OUTBOX_UNAVAILABLE, OUTBOX_MESSAGE
   */
  put(message: T): Promise<string>;
  /** Messages that wait. */
  size(): number;
  /** Refused for good by the receiver, or unreadable: kept aside, counted. */
  refused(): number;
  /** Stops delivering; what waits stays on the disk for the next start. */
  close(): Promise<void>;
}

export interface OutboxOptions<T> {
  /** Below a state directory of ours; made with mode 0700. One file a message. */
  readonly directory: string;
  /** Default 1000. */
  readonly maxMessages?: number;
  /** Hands one message over. Throws: try again later. `signal` aborts when the outbox closes. */
  deliver(message: T, key: string, signal: AbortSignal): Promise<"delivered" | "refused">;
  readonly clock: Clock;
  readonly log: Log;
  /** Waits after a failed delivery, doubling; default 0.5 s to 30 s. */
  readonly retryMs?: { readonly first: number; readonly last: number };
}

/** @throws OutboxError OUTBOX_DIRECTORY, OUTBOX_UNAVAILABLE */
export async function openOutbox<T extends JsonValue>(options: OutboxOptions<T>): Promise<Outbox<T>> {
  const { directory, maxMessages = MAX_MESSAGES, log } = options;
  await openDirectory(directory);
  const { waiting, refused: kept } = await listMessages(directory);
  const closing = new AbortController();
  const aside = [...kept];
  let refused = aside.length;
  let nextSeq = (waiting.at(-1)?.seq ?? 0) + 1;
  let reserved = 0;
  let writing: Promise<unknown> = Promise.resolve();
  let delivering: Promise<void> | undefined;

  async function giveUp(message: Waiting, why: string): Promise<void> {
    refused += 1;
    log("error", "message set aside", { key: message.key, why });
    await setAside(directory, message, aside, MAX_REFUSED);
  }

  async function handOver(message: Waiting): Promise<void> {
    const value = await readMessage(directory, message);
    if (value === undefined) return giveUp(message, "unreadable");
    const outcome = await options.deliver(value as T, message.key, closing.signal);
    if (outcome === "refused") return giveUp(message, "refused by its receiver");
    await removeMessage(directory, message);
  }

  async function deliverAll(): Promise<void> {
    let failures = 0;
    let downSince = 0;
    for (let next = waiting[0]; next !== undefined && !closing.signal.aborted; next = waiting[0]) {
      try {
        await handOver(next);
        waiting.shift();
        failures = 0;
      } catch (error) {
        if (closing.signal.aborted) return;
        if (failures === 0) downSince = options.clock.monotonicMs();
        failures += 1;
        const downMs = Math.round(options.clock.monotonicMs() - downSince);
        await pause(options, { failures, downMs, waiting: waiting.length }, error, closing.signal);
      }
    }
  }

  function wake(): void {
    if (delivering !== undefined || waiting.length === 0 || closing.signal.aborted) return;
    delivering = deliverAll().finally(() => {
      delivering = undefined;
      wake();
    });
  }

  async function write(message: Waiting, value: T): Promise<string> {
    await writeMessage(directory, message, value);
    waiting.push(message);
    wake();
    return message.key;
  }

  wake();
  return {
    async put(value) {
      if (closing.signal.aborted)
        throw new OutboxError("OUTBOX_UNAVAILABLE", { expected: "an open outbox", actual: "a closed one" });
      if (waiting.length + reserved >= maxMessages)
        throw new OutboxError("OUTBOX_FULL", {
          expected: `fewer than ${maxMessages} waiting messages`,
          actual: `${maxMessages}`,
        });
      reserved += 1;
      const message = { seq: nextSeq, key: randomUUID() };
      nextSeq += 1;
      // One after the other, so that none is delivered before an earlier one is on the disk.
      const written = writing.then(() => write(message, value));
      writing = written.catch(() => {});
      return written.finally(() => {
        reserved -= 1;
      });
    },
    size: () => waiting.length,
    refused: () => refused,
    async close() {
      closing.abort();
      await writing;
      await delivering;
    },
  };
}

/** Says what is wrong at the first failure and then at every doubling, so that a receiver that stays down does not fill the journal. */
async function pause<T>(
  { retryMs = { first: FIRST_RETRY_MS, last: LAST_RETRY_MS }, log }: OutboxOptions<T>,
  fault: { readonly failures: number; readonly downMs: number; readonly waiting: number },
  error: unknown,
  signal: AbortSignal,
): Promise<void> {
  if (Number.isInteger(Math.log2(fault.failures)))
    log("warning", "message not delivered yet", { ...fault, ...errorFields(error) });
  await sleep(Math.min(retryMs.last, retryMs.first * 2 ** (fault.failures - 1)), undefined, { signal }).catch(() => {});
}
