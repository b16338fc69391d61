import { setTimeout as sleep } from "node:timers/promises";
import { errorFields, type Log } from "@secai/kit/log";
import type { Clock } from "@secai/kit/sources";
import type { Watch } from "./watch.ts";

/** Longest that a check of the timer may take, in milliseconds: models are large, disks are slow. */
const CYCLE_LIMIT_MS = 3_600_000;
/** How much later than it should a check may end before the service no longer counts as alive. */
const GRACE_MS = 60_000;

export interface Schedule {
  /** Whether checks still begin and end. */
  alive(): boolean;
  /** Stops the timer and what it has begun. */
  stop(): Promise<void>;
}

/** Checks at once and then every interval of the profile that is in force, measured from the end of one to the begin of the next. */
export function startSchedule(watch: Watch, clock: Clock, log: Log): Schedule {
  const stopping = new AbortController();
  let dueMs = clock.monotonicMs();
  const expect = (withinMs: number) => {
    dueMs = clock.monotonicMs() + withinMs + GRACE_MS;
  };
  const running = repeat(watch, { stopping: stopping.signal, expect, log });
  return {
    alive: () => clock.monotonicMs() < dueMs,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

interface Repeating {
  readonly stopping: AbortSignal;
  /** The next step ends within so many milliseconds. */
  readonly expect: (withinMs: number) => void;
  readonly log: Log;
}

async function repeat(watch: Watch, { stopping, expect, log }: Repeating): Promise<void> {
  while (!stopping.aborted) {
    expect(CYCLE_LIMIT_MS);
    await checkOnce(watch, stopping, log);
    const waitMs = watch.profile().interval_seconds * 1000;
    expect(waitMs);
    await sleep(waitMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}

async function checkOnce(watch: Watch, stopping: AbortSignal, log: Log): Promise<void> {
  try {
    const { verdict, score } = await watch.check("timer", AbortSignal.any([stopping, AbortSignal.timeout(CYCLE_LIMIT_MS)]));
    log(verdict === "critical" || verdict === "warning" ? "warning" : "info", "checked", { verdict, score });
  } catch (error) {
    if (!stopping.aborted) log("error", "no check", errorFields(error));
  }
}
