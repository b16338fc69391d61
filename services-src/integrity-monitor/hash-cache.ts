import type { Clock } from "@secai/kit/sources";
import { type Fault, type Hasher, type HashOutcome, hashFile, type Identity, isSame, isSameInode } from "./hash-file.ts";
import type { Found } from "./listing.ts";

/** Up to this size a file is hashed at once, in bytes; larger ones wait their turn so that a small change is not noticed late. */
export const INLINE_BYTES = 8 << 20;
/** How long a file that could not be read is not tried again, in ms. */
const FAULT_MS = 15_000;
/** Digests kept; beyond, all are read anew. */
const MAX_CACHED = 60_000;

export type Known =
  | { readonly sha256: string; readonly rewritten: boolean }
  | { readonly fault: Fault; readonly detail: string }
  /** Will be known later. */
  | "pending";

interface Cached {
  readonly outcome: HashOutcome;
  readonly identity: Identity;
  /** Monotonic. */
  readonly atMs: number;
}

/** "changed" goes before "rolling", and as fast as it can. */
export type Reason = "changed" | "rolling";

/** Digests of files by path, kept for as long as a file's identity is unchanged, and read again in turn all the same. */
export interface HashCache {
  /** The digest of a file that was just found. `rewritten`: its identity is another than before although its content is not. */
  digest(found: Found): Promise<Known>;
  /** The same, however long it takes. */
  digestNow(found: Found): Promise<Exclude<Known, "pending">>;
  /** Queues what was not read for `ageMs`. */
  queueOlderThan(ageMs: number): void;
  /** Hashes the next file that waits. "news": its digest is another than the one known before. "idle": none waits. */
  work(pace: (reason: Reason) => Hasher["pace"]): Promise<"news" | "same" | "idle">;
  waiting(reason?: Reason): number;
  /** Bytes of all files whose digest is kept. */
  bytes(): number;
  /** Age of the digest that was read longest ago, in ms. */
  oldestMs(): number;
}

export interface HashCacheParts {
  /** What tests put before every path. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly quick: Hasher["buffers"];
  readonly slow: Hasher["buffers"];
}

export function createHashCache({ prefix, clock, quick, slow }: HashCacheParts): HashCache {
  const cached = new Map<string, Cached>();
  const queue = new Map<string, { readonly path: string; readonly reason: Reason; readonly identity: Identity }>();
  const rewritten = new Set<string>();

  function keep(path: string, outcome: HashOutcome, identity: Identity): void {
    const before = cached.get(path)?.outcome;
    if (before !== undefined && "sha256" in before && "sha256" in outcome && before.sha256 === outcome.sha256)
      if (!isSameInode(before.identity, outcome.identity)) rewritten.add(path);
    if (cached.size >= MAX_CACHED) cached.clear();
    cached.set(path, { outcome, identity, atMs: clock.monotonicMs() });
  }

  function known(outcome: HashOutcome, path: string): Exclude<Known, "pending"> {
    return "fault" in outcome ? outcome : { sha256: outcome.sha256, rewritten: rewritten.delete(path) };
  }

  function remembered({ path, identity }: Found): Exclude<Known, "pending"> | undefined {
    const before = cached.get(path);
    if (before === undefined || !isSame(before.identity, identity)) return undefined;
    const isFresh = "sha256" in before.outcome || clock.monotonicMs() - before.atMs < FAULT_MS;
    return isFresh ? known(before.outcome, path) : undefined;
  }

  async function read({ path, identity }: Found): Promise<Exclude<Known, "pending">> {
    const outcome = await hashFile(prefix + path, { buffers: quick });
    keep(path, outcome, "fault" in outcome ? identity : outcome.identity);
    return known(outcome, path);
  }

  return {
    async digest(found) {
      const before = remembered(found);
      if (before !== undefined) return before;
      const { path, type, identity } = found;
      if (type !== "file" || identity.size <= INLINE_BYTES) return read(found);
      queue.set(path, { path, reason: "changed", identity });
      return "pending";
    },
    digestNow: async (found) => remembered(found) ?? read(found),
    queueOlderThan(ageMs) {
      const limit = clock.monotonicMs() - ageMs;
      for (const [path, { atMs, identity }] of cached)
        if (atMs <= limit && !queue.has(path)) queue.set(path, { path, reason: "rolling", identity });
    },
    async work(pace) {
      const next = [...queue.values()].find(({ reason }) => reason === "changed") ?? queue.values().next().value;
      if (next === undefined) return "idle";
      const { path, reason, identity } = next;
      queue.delete(path);
      const wait = pace(reason);
      const before = cached.get(path)?.outcome;
      const outcome = await hashFile(prefix + path, { buffers: slow, ...(wait === undefined ? {} : { pace: wait }) });
      if ("fault" in outcome && outcome.fault === "missing") cached.delete(path);
      else keep(path, outcome, "fault" in outcome ? identity : outcome.identity);
      const isSameOutcome = before !== undefined && "sha256" in before && "sha256" in outcome && before.sha256 === outcome.sha256;
      return isSameOutcome && !rewritten.has(path) ? "same" : "news";
    },
    waiting: (reason) => [...queue.values()].filter((one) => reason === undefined || one.reason === reason).length,
    bytes: () => [...cached.values()].reduce((sum, { identity }) => sum + identity.size, 0),
    oldestMs: () => [...cached.values()].reduce((oldest, { atMs }) => Math.max(oldest, clock.monotonicMs() - atMs), 0),
  };
}
