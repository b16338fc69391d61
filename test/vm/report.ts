import type { Outcome } from "./errors.ts";
import type { Accelerator } from "./qemu.ts";

export interface ScenarioResult {
  readonly id: string;
  readonly title: string;
  readonly outcome: Outcome;
  readonly durationMs: number;
  /** Why it did not pass: the error's code and message. */
  readonly code?: string;
  readonly message?: string;
  /** Times and sizes that the scenario measured, in the unit of their names. */
  readonly measures: Readonly<Record<string, number>>;
}

export interface SuiteReport {
  readonly schema: 1;
  readonly suite: string;
  /** RFC 3339, UTC. */
  readonly startedOn: string;
  readonly durationMs: number;
  readonly accelerator: Accelerator;
  /** Digest of the disk image under test, as the release states it. */
  readonly imageDigest: string;
  readonly passed: number;
  /** One line per failed test, then one per fault of the bench. */
  readonly failed: readonly string[];
  /** Scenarios that this host or release cannot run, and why. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  readonly scenarios: readonly ScenarioResult[];
}

export interface SuiteRun {
  readonly suite: string;
  readonly startedOn: string;
  readonly durationMs: number;
  readonly accelerator: Accelerator;
  readonly imageDigest: string;
  readonly scenarios: readonly ScenarioResult[];
}

export function buildReport(run: SuiteRun): SuiteReport {
  const having = (outcome: Outcome) => run.scenarios.filter((scenario) => scenario.outcome === outcome);
  const line = (prefix: string) => (scenario: ScenarioResult) => `${run.suite}: ${scenario.id}: ${prefix}${firstLine(scenario)}`;
  return {
    schema: 1,
    ...run,
    passed: having("passed").length,
    failed: [...having("failed").map(line("")), ...having("fault").map(line("harness fault: "))],
    skipped: having("missing").map((scenario) => ({ name: scenario.id, reason: firstLine(scenario) })),
  };
}

/** 0 nothing failed, 1 a test failed, 3 the bench failed or nothing was tested. */
export function exitStatusOf({ passed, scenarios }: SuiteReport): 0 | 1 | 3 {
  if (scenarios.some(({ outcome }) => outcome === "failed")) return 1;
  return passed === 0 || scenarios.some(({ outcome }) => outcome === "fault") ? 3 : 0;
}

export function summaryLine({ passed, failed, skipped }: SuiteReport): string {
  return `${passed} passed, ${failed.length} failed, ${skipped.length} skipped`;
}

/** One line for people, e.g. "ok    1.42 s  boot.secure-boot  Secure Boot is on". */
export function resultLine({ id, title, outcome, durationMs, message }: ScenarioResult): string {
  const word = { passed: "ok   ", failed: "FAIL ", fault: "FAULT", missing: "skip " }[outcome];
  const reason = outcome === "passed" ? "" : `\n      ${message ?? ""}`;
  return `${word} ${(durationMs / 1000).toFixed(2).padStart(7)} s  ${id.padEnd(36)} ${title}${reason}`;
}

/** JUnit's XML as CI services read it: failures are verdicts on the machine, errors are faults of the bench. */
export function junitXml(report: SuiteReport): string {
  const count = (outcome: Outcome) => report.scenarios.filter((scenario) => scenario.outcome === outcome).length;
  const attributes = [
    `name="${escapeXml(report.suite)}" timestamp="${report.startedOn}" time="${seconds(report.durationMs)}"`,
    `tests="${report.scenarios.length}" failures="${count("failed")}" errors="${count("fault")}" skipped="${count("missing")}"`,
  ];
  const properties = [
    `    <property name="accelerator" value="${report.accelerator}"/>`,
    `    <property name="imageDigest" value="${escapeXml(report.imageDigest)}"/>`,
  ];
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite ${attributes.join(" ")}>`,
    "  <properties>",
    ...properties,
    "  </properties>",
    ...report.scenarios.map((scenario) => testCase(report.suite, scenario)),
    "</testsuite>",
    "",
  ].join("\n");
}

function testCase(suite: string, scenario: ScenarioResult): string {
  const head = `  <testcase classname="${escapeXml(suite)}" name="${escapeXml(scenario.id)}" time="${seconds(scenario.durationMs)}"`;
  const text = escapeXml(scenario.message ?? "");
  const type = escapeXml(scenario.code ?? "");
  switch (scenario.outcome) {
    case "passed":
      return `${head}/>`;
    case "missing":
      return `${head}><skipped message="${text}"/></testcase>`;
    case "failed":
      return `${head}><failure type="${type}" message="${text}"/></testcase>`;
    case "fault":
      return `${head}><error type="${type}" message="${text}"/></testcase>`;
  }
}

/** Characters that XML 1.0 forbids even when escaped become spaces. */
function escapeXml(text: string): string {
  const named: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;" };
  return Array.from(text, (char) => {
    const code = char.codePointAt(0) ?? 0;
    if (
      (code < 0x20 && char !== "\n" && char !== "\t") ||
      code === 0xfffe ||
      code === 0xffff ||
      (code >= 0xd800 && code <= 0xdfff)
    )
      return " ";
    return named[char] ?? char;
  }).join("");
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}

function firstLine({ message, code }: ScenarioResult): string {
  return (message ?? code ?? "no message").split("\n", 1)[0] ?? "";
}
