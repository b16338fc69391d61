/** One step of a graph as it was measured. */
export interface TimedStep {
  readonly id: string;
  /** Earlier steps of the list. */
  readonly needs: readonly string[];
  readonly durationMs: number;
  /** false for a fetch: it waits for the network, not for a worker. */
  readonly needsWorker: boolean;
}

export interface Simulation {
  /** Sum of all steps: one worker, nothing at the same time. */
  readonly totalMs: number;
  /** The longest chain: no number of workers goes below it. */
  readonly criticalMs: number;
  readonly criticalPath: readonly string[];
  /** Wall time for a number of workers, as the engines hand out steps: first ready, first run. */
  readonly byWorkers: readonly { readonly workers: number; readonly wallMs: number }[];
}

/** What a build would take with other numbers of workers. Transfers and slower workers are not in it. */
export function simulate(steps: readonly TimedStep[], workers: readonly number[]): Simulation {
  const { criticalMs, criticalPath } = longestChain(steps);
  return {
    totalMs: steps.reduce((sum, { durationMs }) => sum + durationMs, 0),
    criticalMs,
    criticalPath,
    byWorkers: workers.map((count) => ({ workers: count, wallMs: wallTime(steps, count) })),
  };
}

function longestChain(steps: readonly TimedStep[]): { criticalMs: number; criticalPath: string[] } {
  const ends = new Map<string, { readonly ms: number; readonly chain: readonly string[] }>();
  let longest: { readonly ms: number; readonly chain: readonly string[] } = { ms: 0, chain: [] };
  for (const { id, needs, durationMs } of steps) {
    const before = needs.map((need) => endOf(ends, need)).reduce((a, b) => (b.ms > a.ms ? b : a), { ms: 0, chain: [] });
    const end = { ms: before.ms + durationMs, chain: [...before.chain, id] };
    ends.set(id, end);
    if (end.ms > longest.ms) longest = end;
  }
  return { criticalMs: longest.ms, criticalPath: [...longest.chain] };
}

function endOf<T>(ends: ReadonlyMap<string, T>, id: string): T {
  const end = ends.get(id);
  if (end === undefined) throw new RangeError(`step ${id} does not stand before the step that needs it`);
  return end;
}

/**
 * Steps take a free worker in the order in which they become ready. Handling them in that order is enough: a worker's time of freedom
 * only grows, so no later step could have had the place of an earlier one.
 */
function wallTime(steps: readonly TimedStep[], workers: number): number {
  if (!(Number.isInteger(workers) && workers > 0)) throw new RangeError("expected a positive number of workers");
  const free = Array.from({ length: workers }, () => 0);
  const ends = new Map<string, number>();
  const waiting = [...steps];
  while (waiting.length > 0) {
    const { step, readyAt } = nextReady(waiting, ends);
    waiting.splice(waiting.indexOf(step), 1);
    if (!step.needsWorker) ends.set(step.id, readyAt + step.durationMs);
    else {
      const worker = free.indexOf(Math.min(...free));
      const end = Math.max(readyAt, free[worker] ?? 0) + step.durationMs;
      free[worker] = end;
      ends.set(step.id, end);
    }
  }
  return Math.max(0, ...ends.values());
}

/** The step that becomes ready first, of those whose needs have a known end. */
function nextReady(waiting: readonly TimedStep[], ends: ReadonlyMap<string, number>): { step: TimedStep; readyAt: number } {
  const ready = waiting
    .filter(({ needs }) => needs.every((need) => ends.has(need)))
    .map((step) => ({ step, readyAt: Math.max(0, ...step.needs.map((need) => endOf(ends, need))) }));
  const [first, ...others] = ready;
  if (first === undefined) throw new RangeError("a step needs one that is not there");
  return others.reduce((a, b) => (b.readyAt < a.readyAt ? b : a), first);
}
