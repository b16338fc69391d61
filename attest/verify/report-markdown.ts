import type { CheckOutcome } from "./check.ts";
import type { Report } from "./report.ts";
import { factsOf, labelOf, printable, reasonOf } from "./report-text.ts";

/** The report as a Markdown page. Nothing that the target says becomes markup. */
export function reportMarkdown(report: Report): string {
  const facts = factsOf(report).map(([name, value]) => `| ${cell(name)} | ${cell(value)} |`);
  const rows = report.checks.map((outcome) => `| ${outcome.status} | ${cell(labelOf(outcome))} | ${cell(said(outcome))} |`);
  return [
    `# ${report.verdict.toUpperCase()}: ${cell(report.target)}`,
    "",
    "| | |",
    "|---|---|",
    ...facts,
    "",
    ...(report.warnings ?? []).map((warning) => `> ${cell(warning)}\n`),
    "| status | check | what was found |",
    "|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

const said = (outcome: CheckOutcome) => (outcome.status === "pass" ? outcome.title : reasonOf(outcome));

const cell = (text: string) =>
  printable(text)
    .replace(/[\\`*_{}[\]()#+\-.!|~>]/g, "\\$&")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;");
