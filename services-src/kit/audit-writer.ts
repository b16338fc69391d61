import { canonicalJson } from "@secai/formats/canonical-json";
import type { AuditLog } from "./audit.ts";
import type { Anchor, AnchorFile } from "./audit-anchor.ts";
import { type AuditKey, type Entry, type Link, MAX_LINE_BYTES, sealRecord } from "./audit-chain.ts";
import type { AuditFile } from "./audit-file.ts";
import { KitError } from "./errors.ts";
import type { Clock } from "./sources.ts";

/** Records that wait for the disk. Further callers are told no at once instead of filling the memory. */
const MAX_WAITING = 1024;

interface Waiting extends Entry {
  resolve(link: Link): void;
  reject(error: KitError): void;
}

interface WriterParts {
  readonly key: AuditKey;
  readonly clock: Clock;
  readonly anchor: Anchor;
  readonly file: AuditFile;
  readonly anchorFile: AnchorFile;
}

/**
 * Group commit: what arrives while the disk is busy shares the next write and its two flushes (log, then anchor). The order matters: an
 * anchor ahead of its log would look like a truncation after a power cut, a log ahead of its anchor is only unanswered records.
 */
export function createAuditWriter({ key, clock, anchor: initialAnchor, file, anchorFile }: WriterParts): AuditLog {
  let anchor = initialAnchor;
  let waiting: Waiting[] = [];
  let running: Promise<void> | undefined;
  let closed = false;
  let fault: KitError | undefined;

  async function commit(batch: readonly Waiting[]): Promise<void> {
    try {
      const links = await writeBatch(batch);
      fault = undefined;
      for (const [index, entry] of batch.entries()) entry.resolve(links[index] ?? anchor.head);
    } catch (cause) {
      fault = unavailable((cause as Error).message, cause);
      for (const entry of batch) entry.reject(fault);
    }
  }

  async function writeBatch(batch: readonly Waiting[]): Promise<Link[]> {
    const sealed = sealAll(key, anchor.head, batch);
    const bytes = Buffer.from(sealed.map(({ line }) => line).join(""));
    let { first } = anchor;
    let surplus: readonly string[] = [];
    if (file.isFullFor(bytes.length)) {
      await file.rotate(anchor.head.seq + 1);
      ({ first, paths: surplus } = await file.surplus(first));
    }
    await file.append(bytes);
    const links = sealed.map(({ link }) => link);
    const next = { first, head: links.at(-1) ?? anchor.head };
    await anchorFile.write(next);
    file.confirm();
    anchor = next;
    await file.remove(surplus);
    return links;
  }

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      await commit(batch);
    }
    running = undefined;
  }

  function refuse(data: string): string | undefined {
    if (closed) return "a closed log";
    if (waiting.length >= MAX_WAITING) return `${MAX_WAITING} waiting records`;
    return Buffer.byteLength(data) > MAX_LINE_BYTES - 1024 ? "a record that no line can hold" : undefined;
  }

  return {
    append: (type, value) =>
      new Promise((resolve, reject) => {
        const data = canonicalJson(value);
        const refusal = refuse(data);
        if (refusal !== undefined) return reject(unavailable(refusal));
        waiting.push({ time: new Date(clock.nowMs()).toISOString(), type, data, resolve, reject });
        running ??= drain();
      }),
    head: () => anchor.head,
    fault: () => fault,
    async close() {
      closed = true;
      await running;
      await file.close();
      await anchorFile.close();
    },
  };
}

function sealAll(key: AuditKey, head: Link, batch: readonly Entry[]): { link: Link; line: string }[] {
  let link = head;
  return batch.map((entry) => {
    const sealed = sealRecord(key, link, entry);
    link = sealed.link;
    return sealed;
  });
}

function unavailable(actual: string, cause?: unknown): KitError {
  return new KitError("AUDIT_UNAVAILABLE", { expected: "the record on the disk", actual, cause });
}
