import type { EngineEvent } from "../engine/engine.ts";
import { type Paint, withoutControls } from "./paint.ts";
import type { BuildState, RunningStep } from "./state.ts";
import { bytes, duration } from "./units.ts";

const NAME_WIDTH = 18;

/** The lines that stay on the screen or in a log for one event. */
export function eventLines(event: EngineEvent, paint: Paint): string[] {
  switch (event.type) {
    case "plan":
      return [paint.bold(`${event.steps} steps`)];
    case "step-started":
      return [`${paint.dim("start ")} ${name(event.step)} ${withoutControls(event.title)}`];
    case "step-progress":
      return [];
    case "step-finished": {
      const time = event.cached ? "cached" : duration(event.durationMs);
      return [`${paint.green("done  ")} ${name(event.step)} ${time.padStart(10)} ${bytes(event.sizeBytes).padStart(9)}`];
    }
    case "step-failed":
      return failureLines(event, paint);
    case "notice":
      return [`${event.level === "warning" ? paint.yellow("warning") : "note   "} ${withoutControls(event.message)}`];
  }
}

/** What someone needs to go on after a failure: the end of the log, where the rest is, how to get into the sandbox. */
function failureLines({ step, code, tail, logPath }: Extract<EngineEvent, { type: "step-failed" }>, paint: Paint): string[] {
  if (code === "BUILD_CANCELLED") return [`${paint.dim("stopped")} ${step}`];
  const head = `${paint.red("FAILED")} ${name(step)} ${code}`;
  if (code !== "STEP_FAILED") return [head];
  const lines = tail.map((line) => `  ${paint.dim("|")} ${withoutControls(line)}`);
  return [head, ...lines, `  log     ${logPath}`, `  enter   scripts/secai step shell ${step}`];
}

/** The part of the screen that changes: what runs now, for how long, how far. Never wider than `columns`. */
export function liveLines(state: BuildState, now: number, columns: number, paint: Paint): string[] {
  if (state.running.length === 0) return [];
  const done = state.cached + state.made;
  const elapsed = duration(now - (state.startedAt ?? now));
  const head = `${done}/${state.steps} steps, ${state.cached} cached, ${elapsed}`;
  const last = state.running.length - 1;
  const rows = state.running.map((running, index) => `${index === last ? "└─" : "├─"} ${runningLine(running, now)}`);
  return [paint.bold(fit(head, columns)), ...rows.map((row) => fit(row, columns))];
}

function runningLine({ step, title, startedAt, doneBytes, totalBytes }: RunningStep, now: number): string {
  const progress = totalBytes === undefined ? "" : ` ${bytes(doneBytes ?? 0)} of ${bytes(totalBytes)}`;
  return `${name(step)} ${duration(now - startedAt).padStart(10)}${progress}  ${withoutControls(title)}`;
}

/** One line for the whole build. */
export function summaryLine(state: BuildState, paint: Paint): string {
  const elapsed = duration(state.lastAt - (state.startedAt ?? state.lastAt));
  const failure = state.failed.find(({ code }) => code !== "BUILD_CANCELLED") ?? state.failed[0];
  if (failure !== undefined) return `${paint.red("failed")} at ${failure.step} (${failure.code}) after ${elapsed}`;
  const counts = `${state.made} made, ${state.cached} cached`;
  return `${paint.green("built")} ${state.made + state.cached} steps (${counts}) in ${elapsed}, ${bytes(state.sizeBytes)}`;
}

const name = (step: string): string => step.padEnd(NAME_WIDTH);

function fit(text: string, columns: number): string {
  const characters = Array.from(text);
  return characters.length <= columns ? text : `${characters.slice(0, Math.max(0, columns - 1)).join("")}…`;
}
