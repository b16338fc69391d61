import type { EngineEvent } from "../engine/engine.ts";

export interface RunningStep {
  readonly step: string;
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly doneBytes?: number;
  readonly totalBytes?: number;
}

/** What a build looks like after some events. */
export interface BuildState {
  readonly steps: number;
  readonly startedAt: number | undefined;
  readonly lastAt: number;
  readonly running: readonly RunningStep[];
  readonly cached: number;
  readonly made: number;
  /** Bytes of everything the steps made or found. */
  readonly sizeBytes: number;
  readonly failed: readonly { readonly step: string; readonly code: string }[];
}

export const emptyState: BuildState = {
  steps: 0,
  startedAt: undefined,
  lastAt: 0,
  running: [],
  cached: 0,
  made: 0,
  sizeBytes: 0,
  failed: [],
};

export function nextState(state: BuildState, event: EngineEvent): BuildState {
  const lastAt = Date.parse(event.time);
  const timed = { ...state, lastAt, startedAt: state.startedAt ?? lastAt };
  switch (event.type) {
    case "plan":
      // A build may plan again after drift: its time goes on, its counts start anew.
      return { ...emptyState, steps: event.steps, lastAt, startedAt: timed.startedAt };
    case "step-started":
      return { ...timed, running: [...without(state, event.step), { step: event.step, title: event.title, startedAt: lastAt }] };
    case "step-progress":
      return {
        ...timed,
        running: state.running.map((running) => (running.step === event.step ? { ...running, ...progressOf(event) } : running)),
      };
    case "step-finished":
      return {
        ...timed,
        running: without(state, event.step),
        cached: state.cached + (event.cached ? 1 : 0),
        made: state.made + (event.cached ? 0 : 1),
        sizeBytes: state.sizeBytes + event.sizeBytes,
      };
    case "step-failed":
      return { ...timed, running: without(state, event.step), failed: [...state.failed, { step: event.step, code: event.code }] };
    case "notice":
      return timed;
  }
}

function progressOf({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }) {
  return { doneBytes, totalBytes };
}

function without({ running }: BuildState, step: string): RunningStep[] {
  return running.filter((candidate) => candidate.step !== step);
}
