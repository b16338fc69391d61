import { writeFile } from "node:fs/promises";
import type { CommandIo } from "./command.ts";
import { VerifyError } from "./errors.ts";
import type { Report } from "./report.ts";
import { reportHtml } from "./report-html.ts";
import { reportMarkdown } from "./report-markdown.ts";
import { reportText } from "./report-text.ts";

/** Options of every command that reports. */
export const outputOptions = {
  json: { type: "boolean" },
  verbose: { type: "boolean" },
  report: { type: "string", multiple: true },
  help: { type: "boolean", short: "h" },
} as const;

export interface OutputValues {
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly report?: readonly string[];
}

const jsonOf = (report: Report) => `${JSON.stringify(report, undefined, 2)}\n`;

const forms: Readonly<Record<string, (report: Report) => string>> = {
  ".md": reportMarkdown,
  ".html": reportHtml,
  ".txt": (report) => reportText(report, { colour: false, verbose: true }),
  ".json": jsonOf,
};

const formOf = (path: string) => Object.entries(forms).find(([ending]) => path.endsWith(ending))?.[1];

/** Before anything is verified: a report that nobody could write is a wrong question. @throws VerifyError REPORT_UNWRITABLE */
export function requireForms(paths: readonly string[]): void {
  const odd = paths.find((path) => formOf(path) === undefined);
  if (odd !== undefined) throw new VerifyError("REPORT_UNWRITABLE", { expected: Object.keys(forms).join(", "), actual: odd });
}

/** The report as --json, --verbose and --report ask for it. @throws VerifyError REPORT_UNWRITABLE */
export async function output(report: Report, values: OutputValues, io: CommandIo): Promise<void> {
  for (const path of values.report ?? []) await writeOut(path, formOf(path)?.(report) ?? "");
  print(report, values, io);
}

/** @throws VerifyError REPORT_UNWRITABLE */
export async function writeOut(path: string, content: string): Promise<void> {
  await writeFile(path, content).catch((cause: NodeJS.ErrnoException) => {
    throw new VerifyError("REPORT_UNWRITABLE", { expected: `to write ${path}`, actual: cause.message, cause });
  });
}

/** The report on standard output: for people, or with --json alone and one line for people on standard error. */
export function print(report: Report, { json, verbose }: OutputValues, io: CommandIo): void {
  // https://no-color.org: any value but the empty one.
  const colour = io.colour === true && !io.env.NO_COLOR;
  if (!json) {
    io.stdout(reportText(report, { colour, verbose: verbose === true }));
    return;
  }
  io.stdout(jsonOf(report));
  io.stderr(`${report.verdict} ${report.target}\n`);
}
