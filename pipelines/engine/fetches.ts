import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { FetchStep, StepRecord } from "../step.ts";
import type { Cache } from "./cache.ts";
import type { EngineEvent, Fetcher } from "./engine.ts";
import type { ResolvedStep } from "./resolve.ts";

/** The fetch steps of one run. */
export interface Fetches {
  /** Runs a fetch step that has no record yet. */
  make(resolved: ResolvedStep, step: FetchStep): Promise<StepRecord>;
  /** Brings in what a step that must run now needs; the cache may have collected it since the record was made. */
  ensure(step: FetchStep): Promise<void>;
}

export interface FetchContext {
  readonly cache: Cache;
  readonly fetcher: Fetcher;
  readonly report: (event: EngineEvent) => void;
  readonly signal: AbortSignal;
  readonly temporary: string;
}

const PROGRESS_INTERVAL_MS = 100;

export function createFetches({ cache, fetcher, report, signal, temporary }: FetchContext): Fetches {
  const done = new Map<string, Promise<void>>();
  const fetchMissing = async (step: FetchStep): Promise<void> => {
    const present = await Promise.all(step.files.map((file) => cache.blobs.has(file.sha256)));
    const missing = step.files.filter((_, index) => present[index] !== true);
    if (missing.length === 0) return;
    report({ type: "step-started", step: step.id, title: `fetch ${missing.length} files`, time: new Date().toISOString() });
    await fetcher(missing, cache.blobs, { signal, onBytes: progressReporter(step.id, report) });
  };
  const ensure = (step: FetchStep): Promise<void> => {
    const fetched = done.get(step.id) ?? fetchMissing(step);
    done.set(step.id, fetched);
    return fetched;
  };
  return {
    ensure,
    async make({ key, inputs }, step) {
      const startedOn = new Date().toISOString();
      await ensure(step);
      const finishedOn = new Date().toISOString();
      const entry = join(temporary, `fetch-${randomUUID()}`);
      await mkdir(join(entry, "outputs"), { recursive: true });
      const record = {
        id: step.id,
        key,
        step,
        inputs,
        outputs: {},
        startedOn,
        finishedOn,
        cached: false,
        engine: "local",
        drift: [],
      };
      await cache.publish(record, entry);
      return record;
    },
  };
}

/** At most ten events a second. */
function progressReporter(step: string, report: (event: EngineEvent) => void): (done: number, total: number) => void {
  let last = 0;
  return (doneBytes, totalBytes) => {
    const now = performance.now();
    if (doneBytes < totalBytes && now - last < PROGRESS_INTERVAL_MS) return;
    last = now;
    report({ type: "step-progress", step, doneBytes, totalBytes, time: new Date().toISOString() });
  };
}
