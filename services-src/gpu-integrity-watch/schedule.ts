import { setTimeout as sleep } from "node:timers/promises";
import { errorFields, type Log } from "@secai/kit/log";
import type { Watch } from "./watch.ts";

/** Longest that a check of the timer may take, in milliseconds: models are large, disks are slow. */
const CYCLE_LIMIT_MS = 3_600_000;

export interface Schedule {
  /** Stops the timer and what it has begun. */
  stop(): Promise<void>;
}

/** Checks at once and then every interval of the profile that is in force, measured from the end of one to the begin of the next. */
export function startSchedule(watch: Watch, log: Log): Schedule {
  const stopping = new AbortController();
  const running = repeat(watch, stopping.signal, log);
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

async function repeat(watch: Watch, stopping: AbortSignal, log: Log): Promise<void> {
  while (!stopping.aborted) {
    try {
      const { verdict, score } = await watch.check("timer", AbortSignal.any([stopping, AbortSignal.timeout(CYCLE_LIMIT_MS)]));
      log(verdict === "critical" || verdict === "warning" ? "warning" : "info", "checked", { verdict, score });
    } catch (error) {
      if (!stopping.aborted) log("error", "no check", errorFields(error));
    }
    await sleep(watch.profile().interval_seconds * 1000, undefined, { signal: stopping, ref: true }).catch(() => undefined);
  }
}
