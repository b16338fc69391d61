import type http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { FetchFile } from "../step.ts";
import { FetchError } from "./errors.ts";
import type { HttpClient } from "./http.ts";
import type { PartialFile } from "./partial.ts";

export interface TransferOptions {
  readonly client: HttpClient;
  readonly signal: AbortSignal;
  /** Tries at one mirror. */
  readonly attempts: number;
  /** Wait before the second try, in ms; doubled for each after it. */
  readonly backoffMs: number;
  /** Told how much of the file is there, in bytes. */
  readonly onSize: (size: number) => void;
}

type Outcome = "complete" | "absent";

/** The first byte that a 206 answer holds (RFC 9110 §14.4). */
function rangeStart(answer: http.IncomingMessage): number | undefined {
  const [, start] = /^bytes ([0-9]{1,15})-/.exec(answer.headers["content-range"] ?? "") ?? [];
  return start === undefined ? undefined : Number(start);
}

/** Makes `partial` fit the answer: from where it stopped, or from the first byte when the server does not continue. */
async function alignTo(answer: http.IncomingMessage, partial: PartialFile): Promise<void> {
  if (answer.statusCode === 200) {
    if (partial.size > 0) await partial.reset();
  } else if (answer.statusCode !== 206 || rangeStart(answer) !== partial.size) {
    await partial.reset();
    throw new FetchError("FETCH_STATUS", {
      expected: "status 200, or 206 from where we stopped",
      actual: `${answer.statusCode}`,
    });
  }
}

async function receive(
  answer: http.IncomingMessage,
  file: FetchFile,
  partial: PartialFile,
  onSize: (size: number) => void,
): Promise<void> {
  const body = answer as AsyncIterable<Buffer>;
  for await (const chunk of body) {
    if (partial.size + chunk.length > file.size) {
      await partial.reset();
      throw new FetchError("FETCH_TOO_LARGE", { expected: `${file.size} bytes of ${file.path}`, actual: "more" });
    }
    await partial.append(chunk);
    onSize(partial.size);
  }
  if (partial.size < file.size) {
    throw new FetchError("FETCH_TRUNCATED", { expected: `${file.size} bytes of ${file.path}`, actual: `${partial.size}` });
  }
}

async function once(
  url: string,
  file: FetchFile,
  partial: PartialFile,
  { client, signal, onSize }: TransferOptions,
): Promise<Outcome> {
  if (partial.size === file.size) return "complete";
  const answer = await client.get(url, { offset: partial.size, signal });
  try {
    if (answer.statusCode === 404 || answer.statusCode === 410) return "absent";
    await alignTo(answer, partial);
    await receive(answer, file, partial, onSize);
    return "complete";
  } catch (cause) {
    if (signal.aborted || cause instanceof FetchError) throw cause;
    throw new FetchError("FETCH_TRUNCATED", { expected: `all of ${url}`, actual: (cause as Error).message, cause });
  } finally {
    answer.destroy();
  }
}

/** A complete file must be the right one; a wrong one is forgotten, and told of unless its start was not this mirror's. */
async function checkDigest(url: string, file: FetchFile, partial: PartialFile): Promise<"right" | "again"> {
  const actual = partial.digest();
  if (actual === file.sha256) return "right";
  const { resumed } = partial;
  await partial.reset();
  if (resumed) return "again";
  throw new FetchError("FETCH_HASH_MISMATCH", {
    expected: `sha256 ${file.sha256} of ${file.name}`,
    actual: `${actual} from ${url}`,
  });
}

/** Whether another try at the same mirror may help. */
function isPassing(error: unknown): boolean {
  return error instanceof FetchError && ["FETCH_UNREACHABLE", "FETCH_STATUS", "FETCH_TRUNCATED"].includes(error.code);
}

/**
 * Brings `partial` to the whole file from one address, in several tries that each go on where the last one stopped.
 * @throws FetchError, or the signal's reason
 */
export async function transfer(url: string, file: FetchFile, partial: PartialFile, options: TransferOptions): Promise<Outcome> {
  const { signal, attempts, backoffMs, onSize } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      if ((await once(url, file, partial, options)) === "absent") return "absent";
      if ((await checkDigest(url, file, partial)) === "right") return "complete";
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!isPassing(error) || attempt >= attempts) throw error;
      await sleep(backoffMs * 2 ** (attempt - 1), undefined, { signal });
    } finally {
      onSize(partial.size);
    }
  }
}
