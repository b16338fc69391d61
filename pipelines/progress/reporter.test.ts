import { describe, expect, test, vi } from "vitest";
import type { EngineEvent } from "../engine/engine.ts";
import { eventLines, liveLines, summaryLine } from "./lines.ts";
import { createPaint, withoutControls } from "./paint.ts";
import { chooseReporter, createReporter, type ReporterMode } from "./reporter.ts";
import { emptyState, nextState } from "./state.ts";

const plain = createPaint(false);
const at = (seconds: number): string => new Date(1_000_000 + seconds * 1000).toISOString();
const ms = (seconds: number): number => 1_000_000 + seconds * 1000;

const good: readonly EngineEvent[] = [
  { type: "plan", steps: 3, time: at(0) },
  { type: "step-finished", step: "tools", cached: true, durationMs: 1, sizeBytes: 2 ** 30, time: at(0) },
  { type: "step-started", step: "fetch", title: "fetch 2 files", time: at(1) },
  { type: "step-started", step: "rootfs", title: "root file system", time: at(1) },
  { type: "step-progress", step: "fetch", doneBytes: 1 << 20, totalBytes: 4 << 20, time: at(2) },
];
const rest: readonly EngineEvent[] = [
  { type: "step-finished", step: "fetch", cached: false, durationMs: 2000, sizeBytes: 4 << 20, time: at(3) },
  { type: "step-finished", step: "rootfs", cached: false, durationMs: 4000, sizeBytes: 300 << 20, time: at(5) },
];
const failed: EngineEvent = {
  type: "step-failed",
  step: "rootfs",
  code: "STEP_FAILED",
  logPath: "/cache/logs/rootfs.log",
  tail: ["one", "\u001b]0;title\u0007two"],
  time: at(5),
};
const stateAfter = (events: readonly EngineEvent[]) => events.reduce(nextState, emptyState);

function printed(mode: ReporterMode, events: readonly EngineEvent[], color = false): string {
  let text = "";
  const stream = {
    write: (part: string) => {
      text += part;
    },
    isTTY: true,
    columns: 60,
  };
  const reporter = createReporter({ mode, stream, color });
  for (const event of events) reporter.report(event);
  reporter.close();
  return text;
}

describe("a failure", () => {
  test("shows the end of the log, where the log is and how to enter the sandbox", () => {
    expect(eventLines(failed, plain)).toEqual([
      "FAILED rootfs             STEP_FAILED",
      "  | one",
      "  | \ufffd]0;title\ufffdtwo",
      "  log     /cache/logs/rootfs.log",
      "  enter   scripts/secai step shell rootfs",
    ]);
  });

  test("is what the summary says, not the steps that were stopped for it", () => {
    const stopped: EngineEvent = { ...failed, step: "fetch", code: "BUILD_CANCELLED", tail: [] };
    expect(summaryLine(stateAfter([...good, stopped, failed]), plain)).toBe("failed at rootfs (STEP_FAILED) after 5.0 s");
    expect(eventLines(stopped, plain)).toEqual(["stopped fetch"]);
  });
});

describe("the live part", () => {
  test("shows what runs, for how long and how far", () => {
    expect(liveLines(stateAfter(good), ms(4), 100, plain)).toEqual([
      "1/3 steps, 1 cached, 4.0 s",
      "├─ fetch                   3.0 s 1.0 MiB of 4.0 MiB  fetch 2 files",
      "└─ rootfs                  3.0 s  root file system",
    ]);
  });
  test("is never wider than the terminal", () => {
    for (const columns of [1, 10, 40]) {
      for (const line of liveLines(stateAfter(good), ms(4), columns, plain))
        expect(Array.from(line).length).toBeLessThanOrEqual(columns);
    }
  });
  test("is gone when nothing runs", () => expect(liveLines(stateAfter([...good, ...rest]), ms(9), 80, plain)).toEqual([]));
});

test("the summary counts and measures", () => {
  expect(summaryLine(stateAfter([...good, ...rest]), plain)).toBe("built 3 steps (2 made, 1 cached) in 5.0 s, 1.3 GiB");
});

test("a second plan in one build starts the counts anew but not the clock", () => {
  const again = stateAfter([...good, failed, { type: "plan", steps: 1, time: at(6) }, ...rest.slice(0, 1)]);
  expect(again).toMatchObject({ steps: 1, made: 1, cached: 0, failed: [], startedAt: ms(0) });
});

describe("reporters", () => {
  test("plain: a line an event and no escape sequence", () => {
    expect(printed("plain", [...good, ...rest])).toBe(
      [
        "3 steps",
        "done   tools                  cached   1.0 GiB",
        "start  fetch              fetch 2 files",
        "start  rootfs             root file system",
        "done   fetch                   2.0 s   4.0 MiB",
        "done   rootfs                  4.0 s   300 MiB",
        "built 3 steps (2 made, 1 cached) in 5.0 s, 1.3 GiB",
        "",
      ].join("\n"),
    );
  });

  test("json: the engine's events, one a line, nothing else", () => {
    const lines = printed("json", [...good, failed])
      .trimEnd()
      .split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([...good, failed]);
  });

  test("tree: what is left on the screen is what was made, and the summary", () => {
    vi.useFakeTimers({ now: ms(5) });
    try {
      expect(screen(printed("tree", [...good, ...rest]))).toEqual([
        "done   fetch                   2.0 s   4.0 MiB",
        "done   rootfs                  4.0 s   300 MiB",
        "built 3 steps (2 made, 1 cached) in 5.0 s, 1.3 GiB",
      ]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("no colour when it is off", () => expect(printed("plain", [...good, failed])).not.toContain("\u001b"));
  test("colour when it is on", () => expect(printed("plain", [...good, failed], true)).toContain("\u001b[31mFAILED\u001b[39m"));
});

describe("chooseReporter", () => {
  const stream = (isTTY: boolean) => ({ write: () => true, isTTY });
  const cases = [
    { name: "a pipe", tty: false, env: {}, json: false, mode: "plain", color: false },
    { name: "a terminal", tty: true, env: {}, json: false, mode: "tree", color: true },
    { name: "NO_COLOR", tty: true, env: { NO_COLOR: "1" }, json: false, mode: "tree", color: false },
    { name: "an empty NO_COLOR", tty: true, env: { NO_COLOR: "" }, json: false, mode: "tree", color: true },
    { name: "a dumb terminal", tty: true, env: { TERM: "dumb" }, json: false, mode: "plain", color: false },
    { name: "--json", tty: true, env: {}, json: true, mode: "json", color: true },
  ] as const;
  for (const { name, tty, env, json, mode, color } of cases) {
    test(name, () => expect(chooseReporter(stream(tty), env, json)).toMatchObject({ mode, color }));
  }
});

test("control characters of a step never reach the terminal", () => {
  expect(withoutControls("a\u001b[2Jb\u009b1mc\td\r")).toBe("a\ufffd[2Jb\ufffd1mc\td\ufffd");
});

/** What a terminal shows after the two sequences the reporter uses: up n lines, and erase to the end. */
function screen(text: string): string[] {
  const lines: string[] = [];
  const escapeCharacter = String.fromCodePoint(27);
  for (const part of text.split(escapeCharacter)) {
    const up = /^\[(\d+)A/.exec(part);
    if (up !== null) lines.length -= Number(up[1]);
    const shown = part.replace(/^\[\d*[AJ]/, "");
    if (shown !== "") lines.push(...shown.replace(/\n$/, "").split("\n"));
  }
  return lines;
}
