import type { EngineEvent } from "../engine/engine.ts";
import { eventLines, liveLines, summaryLine } from "./lines.ts";
import { createPaint } from "./paint.ts";
import { type BuildState, emptyState, nextState } from "./state.ts";

/** "tree": live picture on a terminal; "plain": a line an event; "json": an event a line, as the engine sent it. */
export type ReporterMode = "tree" | "plain" | "json";

export interface ReporterStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface ReporterOptions {
  readonly mode: ReporterMode;
  readonly stream: ReporterStream;
  readonly color: boolean;
}

export interface Reporter {
  readonly report: (event: EngineEvent) => void;
  /** Clears the live part and prints the summary. Call it when the run has ended, however it ended. */
  close(): void;
}

/** How to report to a stream: `NO_COLOR` (no-color.org), dumb terminals and pipes are honoured. */
export function chooseReporter(
  stream: ReporterStream,
  env: Readonly<Record<string, string | undefined>>,
  json: boolean,
): ReporterOptions {
  const terminal = stream.isTTY === true && env.TERM !== "dumb";
  return { mode: json ? "json" : terminal ? "tree" : "plain", stream, color: terminal && (env.NO_COLOR ?? "") === "" };
}

export function createReporter(options: ReporterOptions): Reporter {
  switch (options.mode) {
    case "json":
      return { report: (event) => void options.stream.write(`${JSON.stringify(event)}\n`), close: () => {} };
    case "plain":
      return createPlainReporter(options);
    case "tree":
      return createTreeReporter(options);
  }
}

function createPlainReporter({ stream, color }: ReporterOptions): Reporter {
  const paint = createPaint(color);
  let state = emptyState;
  return {
    report(event) {
      state = nextState(state, event);
      for (const line of eventLines(event, paint)) stream.write(`${line}\n`);
    },
    close: () => void stream.write(`${summaryLine(state, paint)}\n`),
  };
}

const REDRAW_INTERVAL_MS = 200;
const DEFAULT_COLUMNS = 80;

function createTreeReporter({ stream, color }: ReporterOptions): Reporter {
  const paint = createPaint(color);
  let state: BuildState = emptyState;
  let drawn = 0;
  /** Lines that stay, then the live part anew, in one write so that nothing flickers. */
  const draw = (stay: readonly string[]): void => {
    // Up over the old live part, then erase to the end of the screen (ECMA-48 CUU, ED).
    const erase = drawn === 0 ? "" : `\u001b[${drawn}A\u001b[J`;
    const live = liveLines(state, Date.now(), stream.columns ?? DEFAULT_COLUMNS, paint);
    if (erase !== "" || stay.length + live.length > 0)
      stream.write(erase + [...stay, ...live].map((line) => `${line}\n`).join(""));
    drawn = live.length;
  };
  const timer = setInterval(() => draw([]), REDRAW_INTERVAL_MS);
  timer.unref();
  return {
    report(event) {
      state = nextState(state, event);
      draw(stays(event) ? eventLines(event, paint) : []);
    },
    close() {
      clearInterval(timer);
      state = { ...state, running: [] };
      draw([summaryLine(state, paint)]);
    },
  };
}

/** The live part shows what runs, the summary counts what was cached: neither needs a line of its own on a terminal. */
function stays(event: EngineEvent): boolean {
  return event.type !== "plan" && event.type !== "step-started" && !(event.type === "step-finished" && event.cached);
}
