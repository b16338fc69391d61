import { setTimeout as sleep } from "node:timers/promises";
import type { HashCache } from "./hash-cache.ts";
import { Abandoned, type Hasher } from "./hash-file.ts";
import type { ModelLook } from "./look-models.ts";
import type { MonitorPolicy } from "./policy.ts";

const IDLE_MS = 500;
/** Waits shorter than this are saved up, in ms. */
const MIN_SLEEP_MS = 20;

export interface RehashParts {
  readonly cache: HashCache;
  readonly models: ModelLook;
  policy(): MonitorPolicy["rehash"];
  /** A digest is known, or is another than before. */
  onNews(): void;
  onError(error: unknown): void;
}

export interface Rehash {
  /** Resolves once nothing that changed waits to be read, or after `limitMs`: then false. */
  settled(limitMs: number): Promise<boolean>;
  stop(): Promise<void>;
}

/** Bytes a second that read everything within half the interval, or the policy's, whichever is more. */
export function rollingRate({ interval_minutes, bytes_per_second }: MonitorPolicy["rehash"], bytes: number): number {
  return Math.max(bytes_per_second, (bytes / (interval_minutes * 60)) * 2);
}

/** Reads large files, and every file again in its turn, beside the looks and one at a time. */
export function startRehash({ cache, models, policy, onNews, onError }: RehashParts): Rehash {
  const stopping = new AbortController();
  const { signal } = stopping;
  let busy = true;

  /** Spreads the bytes over time; gives up as soon as the service stops. */
  function throttle(rate: number): NonNullable<Hasher["pace"]> {
    let debtMs = 0;
    return (bytes) => {
      if (signal.aborted) return Promise.reject(new Abandoned("stopping"));
      debtMs += (bytes / rate) * 1000;
      if (debtMs < MIN_SLEEP_MS) return undefined;
      const wait = debtMs;
      debtMs = 0;
      return sleep(wait, undefined, { signal }).catch(() => {
        throw new Abandoned("stopping");
      });
    };
  }

  async function step(): Promise<void> {
    const rules = policy();
    const rolling = throttle(rollingRate(rules, cache.bytes()));
    const atOnce = throttle(Number.POSITIVE_INFINITY);
    const result = await cache.work((reason) => (reason === "rolling" ? rolling : atOnce));
    if (result === "news") return onNews();
    if (result === "same") return;
    if (await models.work(rules.interval_minutes * 30_000, rolling)) return onNews();
    busy = false;
    await sleep(IDLE_MS, undefined, { signal }).catch(() => undefined);
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      busy = true;
      try {
        await step();
      } catch (error) {
        if (error instanceof Abandoned) break;
        onError(error);
        await sleep(IDLE_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  const running = run();
  return {
    async settled(limitMs) {
      const until = performance.now() + limitMs;
      while (performance.now() < until) {
        if (!busy && cache.waiting("changed") === 0 && models.waiting() === 0) return true;
        await sleep(50);
      }
      return false;
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
