import { parseJson } from "@secai/formats/canonical-json";
import { MAX_TEST_RESULT_BYTES } from "@secai/formats/test-result";
import type { Timeline } from "./controls.ts";
import { ControlError } from "./errors.ts";
import type { Evidence } from "./evidence.ts";
import { markdownPage, markdownTable } from "./markdown.ts";
import { type ListedScenario, scenarioNamed } from "./scenarios.ts";

/** Milliseconds of one clock, by the moment's name. */
type Measures = Readonly<Record<string, number>>;

/** What a scenario measured, from a suite's report whose digest was compared with the signed one. */
export function measuresOf(report: Uint8Array, id: string): Measures {
  const { scenarios } = Object(parseJson(report, MAX_TEST_RESULT_BYTES)) as { readonly scenarios?: unknown };
  const all: readonly unknown[] = Array.isArray(scenarios) ? scenarios : [];
  const found = all.map((one) => Object(one) as Readonly<Record<string, unknown>>).find((one) => one.id === id);
  const entries = Object.entries(Object(found?.measures));
  return Object.fromEntries(entries.filter((entry): entry is [string, number] => Number.isFinite(entry[1])));
}

/** @throws ControlError CONTROL_TIMELINE_BROKEN for a moment that is missing or before the one that it follows */
export function requireMoments({ moments }: Timeline, measures: Measures): void {
  for (const { name, after } of moments) {
    const at = measures[name];
    if (at === undefined) throw broken(`a time of ${name}`, "none");
    const before = after === undefined ? at : (measures[after] ?? at);
    if (at < before) throw broken(`${name} after ${after}`, `${before - at} ms before it`);
  }
}

const broken = (expected: string, actual: string) => new ControlError("CONTROL_TIMELINE_BROKEN", { expected, actual });

/** docs/evidence/enforcement-story.md, whole. @throws ControlError CONTROL_SCENARIO_UNKNOWN, CONTROL_TIMELINE_BROKEN */
export function timelinePage(timeline: Timeline, scenarios: readonly ListedScenario[], evidence: Evidence | undefined): string {
  if (timeline.scenario === undefined) return markdownPage([HEAD, `Not recorded: ${timeline.reason}`, expectedTable(timeline)]);
  const scenario = scenarioNamed(timeline.scenario, scenarios, "timeline");
  const statement = evidence?.statements.find(({ suite }) => suite === scenario.suite);
  const outcome = statement?.outcomes.get(scenario.id);
  const report = evidence?.reports.get(scenario.suite);
  const named = `Scenario \`${scenario.id}\` of ${scenario.suite}: ${scenario.title}.`;
  if (evidence === undefined || statement === undefined || outcome !== "passed" || report === undefined) {
    const why =
      outcome === undefined ? "no signed result of it is here" : outcome === "passed" ? "its report is not here" : outcome;
    return markdownPage([HEAD, `${named} No times are recorded: ${why}.`, expectedTable(timeline)]);
  }
  const measures = measuresOf(report, scenario.id);
  requireMoments(timeline, measures);
  return markdownPage([
    HEAD,
    `${named} It passed on ${statement.finishedOn} (accelerator: ${statement.accelerator}), on the image \`sha256:${statement.image}\`
of release \`${evidence.release.release}\`. The report with these times is [reports/${scenario.suite}.json](reports/${scenario.suite}.json), SHA-256
\`${statement.report}\`, which the signed statement \`${statement.digest}\` names.`,
    timesTable(timeline, measures),
  ]);
}

const HEAD = `# The enforcement story

One machine from its start through a tampering to its recovery, as one scenario on the booted image measured it. Written by
\`node scripts/control-matrix.ts\` from the recorded report; [README.md](README.md) says how to check it. Times are the test bench's: they hold what
it took to ask the machine, and under \`tcg\`, where the processor is emulated, they say nothing of real machines.`;

const expectedTable = ({ moments }: Timeline): string =>
  markdownTable(
    ["moment", "what happens"],
    moments.map(({ name, what }) => [name, what]),
  );

function timesTable({ moments, zeros }: Timeline, measures: Measures): string {
  const at = (name: string): number => measures[name] ?? Number.NaN;
  const since = (name: string, zero: string): string => (at(name) < at(zero) ? "" : String(Math.round(at(name) - at(zero))));
  return markdownTable(
    ["moment", ...zeros.map((zero) => `ms since ${zero}`), "what happened"],
    moments.map(({ name, what }) => [name, ...zeros.map((zero) => since(name, zero)), what]),
  );
}
