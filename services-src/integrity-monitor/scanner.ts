import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "@secai/kit/sources";
import { type Area, areas, type Look } from "./look.ts";
import { type Violation, violation } from "./violation.ts";

/** From the first event of a burst to the look, in ms: one look for the whole burst. */
const DEBOUNCE_MS = 100;
const MAX_DEBOUNCE_MS = 500;
const RETRY_MS = 1_000;
/** A part of the machine that cannot be looked at this often in a row is as good as changed. */
const MAX_FAILURES = 3;

export interface ScannerParts {
  readonly clock: Clock;
  look(area: Area): Promise<Look>;
  /** After each round: everything that stands, and what was noticed in this round. */
  settle(standing: readonly Violation[], noticed: readonly Violation[]): Promise<void>;
  /** The directories that all areas want watched. */
  follow(folders: readonly string[]): void;
  onError(area: Area | "round", error: unknown): void;
}

/** Looks at areas one after the other, never two at a time; what becomes due behind the look shares the next round. */
export interface Scanner {
  /** These areas should be looked at soon. */
  mark(areas: readonly Area[]): void;
  /** All areas, now. Resolves when a round that began after this call has been settled. */
  full(): Promise<void>;
  /** Areas that want this directory watched. */
  areasOf(folder: string): readonly Area[];
  standing(): readonly Violation[];
  standingIn(area: Area): readonly Violation[];
  /** Full rounds. */
  scanCount(): number;
  /** Monotonic ms at the end of the last full round; undefined before the first. */
  lastFullMs(): number | undefined;
  lastDurationMs(): number;
  stop(): Promise<void>;
}

export function createScanner({ clock, look, settle, follow, onError }: ScannerParts): Scanner {
  const results = new Map<Area, Look>();
  const failures = new Map<Area, number>();
  const timers = new Set<NodeJS.Timeout>();
  let areasByFolder = new Map<string, Area[]>();
  const due = new Set<Area>();
  let waiters: (() => void)[] = [];
  let running: Promise<void> | undefined;
  let [stopped, scanCount, lastDurationMs] = [false, 0, 0];
  let lastFullMs: number | undefined;

  const standing = (): readonly Violation[] => [...results.values()].flatMap(({ violations }) => violations);

  async function lookAt(area: Area): Promise<readonly Violation[]> {
    try {
      const result = await look(area);
      failures.delete(area);
      results.set(area, result);
      if (result.againMs !== undefined) later(area, result.againMs);
      return result.noticed ?? [];
    } catch (error) {
      onError(area, error);
      const count = (failures.get(area) ?? 0) + 1;
      failures.set(area, count);
      const blind = violation("state_file", `look at ${area}`, "unreadable", "a look at it", (error as Error).message);
      if (count >= MAX_FAILURES) results.set(area, { violations: [blind] });
      later(area, RETRY_MS);
      return [];
    }
  }

  async function round(): Promise<void> {
    const full = areas.every((area) => due.has(area));
    const waiting = full ? waiters : [];
    if (full) waiters = [];
    const started = clock.monotonicMs();
    const noticed: Violation[] = [];
    // What one look asks of a later one is of the same round: one tampering is one set of violations, and one report.
    for (const area of areas) if (due.delete(area)) noticed.push(...(await lookAt(area)));
    followAll();
    if (full) scanCount += 1;
    await settle(standing(), noticed);
    lastDurationMs = clock.monotonicMs() - started;
    if (full) lastFullMs = clock.monotonicMs();
    for (const resolve of waiting) resolve();
  }

  function followAll(): void {
    areasByFolder = new Map();
    for (const [area, { folders = [] }] of results)
      for (const folder of folders) areasByFolder.set(folder, [...(areasByFolder.get(folder) ?? []), area]);
    follow([...areasByFolder.keys()]);
  }

  async function drain(): Promise<void> {
    while (due.size > 0 && !stopped) {
      // Whoever asked waits no longer than the look takes.
      if (waiters.length === 0) await sleep(Math.min(MAX_DEBOUNCE_MS, Math.max(DEBOUNCE_MS, lastDurationMs)));
      await round().catch((error: unknown) => onError("round", error));
    }
    running = undefined;
  }

  function mark(marked: readonly Area[]): void {
    for (const area of marked) due.add(area);
    if (!stopped) running ??= drain();
  }

  function later(area: Area, ms: number): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      mark([area]);
    }, ms);
    timers.add(timer);
  }

  return {
    mark,
    full: () =>
      new Promise((resolve) => {
        waiters.push(resolve);
        mark(areas);
      }),
    areasOf: (folder) => areasByFolder.get(folder) ?? [],
    standing,
    standingIn: (area) => results.get(area)?.violations ?? [],
    scanCount: () => scanCount,
    lastFullMs: () => lastFullMs,
    lastDurationMs: () => lastDurationMs,
    async stop() {
      stopped = true;
      for (const timer of timers) clearTimeout(timer);
      await running;
      for (const resolve of waiters) resolve();
    },
  };
}
