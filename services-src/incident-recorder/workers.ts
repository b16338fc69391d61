import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { ContainmentAction } from "@secai/kit/api/incidents";
import { errorFields, type Log } from "@secai/kit/log";
import type { Clock } from "@secai/kit/sources";
import type { WebhookEvent } from "./policy-schema.ts";
import { jobOf, pendingActions, withAttempt, withSettledState } from "./progress.ts";
import { heldTargets, validRecovery, withGateOpen, withReleased } from "./recovery.ts";
import { bothChanges, type Change, type Stored, type Target, withChange } from "./state.ts";
import type { Store } from "./store/store.ts";
import type { Targets } from "./targets.ts";
import { createTurns } from "./turns.ts";

/** Incidents that are worked on at the same time; the others wait their turn. */
const MAX_AT_ONCE = 16;

/** What the workers did. `next` is the incident as it is then. */
export type Progress =
  | { readonly type: "attempt"; readonly action: ContainmentAction; readonly next: Stored }
  | { readonly type: "settled"; readonly next: Stored }
  | { readonly type: "released"; readonly target: Target; readonly next: Stored }
  | { readonly type: "recovered"; readonly next: Stored };

export interface WorkerParts {
  readonly store: Store;
  readonly targets: Targets;
  readonly clock: Clock;
  readonly log: Log;
  /** Records it, while it is written to the disk. Its failure makes the job come again. */
  record(progress: Progress): Promise<unknown>;
  /** It is on the disk and on record. */
  done(id: string): void;
  /** The event, if somebody is to be told. */
  wanted(event: WebhookEvent): readonly WebhookEvent[];
  /** Waits between attempts, doubling. Default 1 s to 30 s. */
  readonly retryMs?: { readonly first: number; readonly last: number };
}

export interface Workers {
  /** There may be something to do about an incident, and it cannot wait. */
  poke(id: string): void;
  /** Everything that was left unfinished: at the start. */
  resume(): void;
  /** Stops trying; what is unfinished is resumed by the next start. */
  close(): Promise<void>;
}

/** One task an incident: it closes or it opens, never both at once; all targets of a round in parallel. */
export function createWorkers(parts: WorkerParts): Workers {
  const { store, retryMs = { first: 1_000, last: 30_000 } } = parts;
  const closing = new AbortController();
  // As many as there are incidents: no leak.
  setMaxListeners(0, closing.signal);
  const tasks = new Map<string, { readonly done: Promise<void>; wake: AbortController }>();
  const turns = createTurns(MAX_AT_ONCE);

  async function work(id: string, nap: (ms: number) => Promise<void>): Promise<void> {
    for (let failures = 0; !closing.signal.aborted; ) {
      const stored = store.state.incidents.get(id);
      if (stored === undefined || jobOf(stored) === undefined) return;
      const isDone = await turns.take(() => attemptJob(parts, id, { failures, signal: closing.signal }));
      failures = isDone ? 0 : failures + 1;
      if (!isDone && !closing.signal.aborted) await nap(Math.min(retryMs.last, retryMs.first * 2 ** (failures - 1)));
    }
  }

  function start(id: string): void {
    const task = { wake: new AbortController(), done: Promise.resolve() };
    const nap = async (ms: number): Promise<void> => {
      await sleep(ms, undefined, { signal: AbortSignal.any([task.wake.signal, closing.signal]) }).catch(() => {});
      task.wake = new AbortController();
    };
    const done = work(id, nap).finally(() => {
      tasks.delete(id);
      // Something may have come up between the last look and now.
      const stored = store.state.incidents.get(id);
      if (!closing.signal.aborted && stored !== undefined && jobOf(stored) !== undefined) start(id);
    });
    tasks.set(id, Object.assign(task, { done }));
  }

  function poke(id: string): void {
    const task = tasks.get(id);
    if (task !== undefined) task.wake.abort();
    else if (!closing.signal.aborted) start(id);
  }

  return {
    poke,
    resume() {
      for (const [id, stored] of store.state.incidents) if (jobOf(stored) !== undefined) poke(id);
    },
    async close() {
      closing.abort();
      await Promise.allSettled([...tasks.values()].map(({ done }) => done));
    },
  };
}

interface Round {
  /** Rounds that failed before, since the start. */
  readonly failures: number;
  readonly signal: AbortSignal;
}

/** One round. True: go on at once; false: later again. */
async function attemptJob(parts: WorkerParts, id: string, round: Round): Promise<boolean> {
  const stored = parts.store.state.incidents.get(id);
  const job = stored === undefined ? undefined : jobOf(stored);
  if (stored === undefined || job === undefined) return true;
  try {
    return job === "contain" ? await contain(parts, stored, round) : await release(parts, stored, round.signal);
  } catch (error) {
    if (!round.signal.aborted) parts.log("error", "no progress with an incident", { incident: id, job, ...errorFields(error) });
    return false;
  }
}

async function contain(parts: WorkerParts, stored: Stored, round: Round): Promise<boolean> {
  const { id } = stored.incident;
  const ends = await Promise.allSettled(pendingActions(stored.incident).map((action) => attempt(parts, stored, action, round)));
  if (round.signal.aborted) return false;
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  // A process that ended between a result and what it comes to.
  await change(
    parts,
    id,
    (current) => settle(parts, current),
    ({ next }) => [{ type: "settled", next }],
  );
  return ends.every((end) => end.status === "fulfilled" && end.value);
}

/** True if there is no need to try again. The number of attempts that is not on the disk yet is lost with the process, nothing else. */
async function attempt(parts: WorkerParts, { incident }: Stored, action: ContainmentAction, round: Round): Promise<boolean> {
  const stored = parts.store.state.incidents.get(incident.id);
  if (stored === undefined) return true;
  const end = await parts.targets.contain(action, stored, round.signal);
  // Our own end says nothing about the target.
  if (round.signal.aborted && !end.success) return false;
  const recorded = incident.containment_results.find((result) => result.action === action)?.attempts ?? 0;
  const attempts = Math.max(recorded, round.failures) + 1;
  const now = new Date(parts.clock.nowMs()).toISOString();
  const decide = (current: Stored): Change => {
    const made = withAttempt(current, action, end, attempts, now);
    return bothChanges(made, settle(parts, withChange(current, made)));
  };
  await change(parts, incident.id, decide, ({ before, next }) => [
    { type: "attempt", action, next },
    ...(before.incident.state === next.incident.state ? [] : [{ type: "settled", next } as const]),
  ]);
  return end.success || end.final;
}

/** The state that the results come to, in one record with the last of them. */
function settle({ wanted }: WorkerParts, stored: Stored): Change {
  const made = withSettledState(stored);
  const state = made.incident?.state;
  return state === "contained" || state === "containment_failed" ? { ...made, unannounced: wanted(state) } : made;
}

async function release(parts: WorkerParts, stored: Stored, signal: AbortSignal): Promise<boolean> {
  const binding = validRecovery(stored)?.binding ?? "";
  const opened = await Promise.allSettled(
    heldTargets(stored).map(async (target) => {
      await parts.targets.release(target, stored, binding, signal);
      await change(
        parts,
        stored.incident.id,
        (now) => withReleased(now, target),
        ({ next }) => [{ type: "released", target, next }],
      );
    }),
  );
  const failed = opened.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const open = (current: Stored): Change => {
    const made = withGateOpen(current, new Date(parts.clock.nowMs()).toISOString());
    return made.recovery === undefined ? made : { ...made, unannounced: parts.wanted("recovered") };
  };
  await change(parts, stored.incident.id, open, ({ next }) => [{ type: "recovered", next }]);
  return true;
}

interface Changed {
  readonly before: Stored;
  readonly next: Stored;
}

/** Changes the incident if there is something to change. No caller waits for it, so it shares its flushes with what callers wait for. */
async function change(
  { store, ...parts }: WorkerParts,
  id: string,
  decide: (stored: Stored) => Change,
  progressOf: (changed: Changed) => readonly Progress[],
): Promise<void> {
  const changed = await store.transact<Changed | undefined>(
    (state) => {
      const before = state.incidents.get(id);
      const made = before === undefined ? {} : decide(before);
      if (before === undefined || Object.keys(made).length === 0) return { events: [], result: undefined };
      return { events: [{ type: "changed", id, change: made }], result: { before, next: withChange(before, made) } };
    },
    async (result) => Promise.all(result === undefined ? [] : progressOf(result).map(parts.record)),
    true,
  );
  if (changed !== undefined) parts.done(id);
}
