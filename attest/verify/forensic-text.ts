import type { ForensicReport, ForensicSummary } from "./forensic-report.ts";
import type { TextOptions } from "./report-text.ts";
import { printable } from "./report-text.ts";

const RED = 31;
const GREEN = 32;
const HEADER = ["INCIDENT", "CLASS", "SEVERITY", "STATE", "COUNT", "FIRST SEEN", "LAST SEEN"] as const;

/** The report as lines for people, the verdict last. Nothing of the bundle is shown before it is verified. */
export function forensicText(report: ForensicReport, { colour, verbose }: TextOptions): string {
  const { target, key, verdict, summary, refusal } = report;
  const paint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const refused =
    refusal === undefined
      ? []
      : [
          `${paint(RED, "FAIL")} ${refusal.code}: expected ${printable(refusal.expected)}, got ${printable(refusal.actual)}`,
          `  fix: ${printable(refusal.fix)}`,
        ];
  const lines = [
    `forensic ${printable(target)}`,
    fact("trusted", `key ${key}`),
    ...(summary === undefined ? [] : summaryLines(summary, verbose)),
    ...refused,
    `${paint(verdict === "accepted" ? GREEN : RED, verdict.toUpperCase())} ${printable(target)}`,
  ];
  return `${lines.join("\n")}\n`;
}

const fact = (name: string, value: string): string => `  ${name.padEnd(12)} ${printable(value)}`;

function summaryLines(summary: ForensicSummary, verbose: boolean): readonly string[] {
  const { exportedAt, policyDigest, incidents, unresolved, audit, storeHead } = summary;
  return [
    fact("exported", exportedAt),
    fact("policy", policyDigest),
    fact("audit log", `records ${audit.first ?? "-"} to ${audit.head.seq}, head ${audit.head.mac}`),
    fact("store", `up to change ${storeHead.seq}, head ${storeHead.mac}`),
    fact("incidents", `${incidents.length}, ${unresolved} unresolved`),
    ...(incidents.length === 0 ? [] : ["", ...table(incidents, verbose), ""]),
  ];
}

function table(incidents: ForensicSummary["incidents"], verbose: boolean): readonly string[] {
  const rows = incidents.map((one) => [
    one.id,
    one.class,
    one.severity,
    one.state,
    String(one.count),
    one.createdAt,
    one.lastSeenAt,
  ]);
  const widths = HEADER.map((name, column) =>
    rows.reduce((width, row) => Math.max(width, (row[column] ?? "").length), name.length),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => printable(cell).padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  const details = ({ source, description, latched, escalated }: ForensicSummary["incidents"][number]): string => {
    const marks = [...(latched ? ["latched"] : []), ...(escalated ? ["escalated"] : [])].map((mark) => `, ${mark}`).join("");
    return `  ${source}${marks}: ${printable(description)}`;
  };
  return [
    line(HEADER),
    ...rows.flatMap((row, index) => {
      const incident = incidents[index];
      return verbose && incident !== undefined ? [line(row), details(incident)] : [line(row)];
    }),
  ];
}

/** The report as JSON in which no character could steer a terminal: those are escaped (RFC 8259 §7), which changes no value. */
export function forensicJson(report: ForensicReport): string {
  const escaped = JSON.stringify(report, undefined, 2).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character === "\n" ? character : [...Array(character.length).keys()].map((index) => unitOf(character, index)).join(""),
  );
  return `${escaped}\n`;
}

const unitOf = (text: string, index: number): string => `\\u${text.charCodeAt(index).toString(16).padStart(4, "0")}`;
