import type { DiffRow } from "./compare.ts";
import { type Fields, sections } from "./facts.ts";
import type { DiffReport } from "./report.ts";

const SIGN = { added: "+", removed: "-", changed: "~" } as const;

/** A comparison for people at a terminal: a heading for each section that differs, a line for each item. */
export function diffText(report: DiffReport): string {
  const head = [
    `${name(report.a)} -> ${name(report.b)}`,
    report.verified ? "both releases verified" : "NOT VERIFIED: nobody vouches for what follows",
  ];
  const body = sections.flatMap((section) =>
    sectionLines(
      section,
      report.rows.filter((row) => row.section === section),
    ),
  );
  const gaps = report.notCompared.map(({ section, reason }) => `not compared: ${section} (${reason})`);
  const { added, removed, changed } = report.counts;
  const sum = report.rows.length === 0 ? "no differences" : `${added} added, ${removed} removed, ${changed} changed`;
  return [...head, ...body, ...gaps, sum, ""].map(printable).join("\n");
}

const name = ({ dir, recipe, version }: DiffReport["a"]) => `${recipe} ${version} (${dir})`;

function sectionLines(section: string, rows: readonly DiffRow[]): readonly string[] {
  if (rows.length === 0) return [];
  const width = Math.min(48, Math.max(...rows.map(({ item }) => item.length)));
  return ["", section, ...rows.map((row) => `  ${SIGN[row.change]} ${row.item.padEnd(width)}  ${changeText(row)}`.trimEnd())];
}

/** "version 5.1 -> 5.2"; of a new or lost item its fields. */
export function changeText({ before, after }: DiffRow): string {
  if (before === null || after === null) return fieldsText(after ?? before ?? {});
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.map((field) => `${field} ${before[field] ?? "none"} -> ${after[field] ?? "none"}`).join(", ");
}

const fieldsText = (fields: Fields) =>
  Object.entries(fields)
    .map(([field, value]) => `${field} ${value}`)
    .join(", ");

/** Names come from the releases: nothing in them may steer a terminal. */
const printable = (line: string) => line.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}]/gu, "?");
