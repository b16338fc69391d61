import type { CheckOutcome } from "./check.ts";
import type { Report } from "./report.ts";

const MARK = { pass: "ok", fail: "FAIL", undecided: "??", not_present: "--" } as const;
const COLOUR = { ok: 32, FAIL: 31, "??": 33, "--": 2, accepted: 32, rejected: 31, undecided: 33 } as const;

export interface TextOptions {
  readonly colour: boolean;
  /** Also a line for every subject of a check that passed. */
  readonly verbose: boolean;
}

/** The report as lines for people: one per check, one per subject that did not pass, and the verdict last. */
export function reportText(report: Report, options: TextOptions): string {
  const paint = (word: keyof typeof COLOUR, text: string) => (options.colour ? `\u001b[${COLOUR[word]}m${text}\u001b[0m` : text);
  const lines = [...groupById(report.checks).values()].flatMap((outcomes) => checkLines(outcomes, paint, options));
  const facts = factsOf(report).map(([name, value]) => `  ${name.padEnd(12)} ${printable(value)}`);
  const warnings = (report.warnings ?? []).map((warning) => `${paint("??", "warn")} ${printable(warning)}`);
  const { pass, fail, undecided, not_present } = report.counts;
  const counts = `${pass} passed, ${fail} failed, ${undecided} undecided, ${not_present} not present`;
  const verdict = `${paint(report.verdict, report.verdict.toUpperCase())} ${printable(report.target)} (${counts})`;
  return `${[`${report.kind} ${printable(report.target)}`, ...facts, ...lines, ...warnings, verdict].join("\n")}\n`;
}

/** What stands above the checks: what the target claims, whom the caller trusts, and as of when. */
export function factsOf({ claims, trust, trustAge, at, policy }: Report): readonly (readonly [name: string, value: string])[] {
  const days = (count: number | undefined) => (count === undefined ? "none" : `${count} days old`);
  return [
    ...Object.entries(claims),
    ...trust.map((anchor) => ["trusted", anchor] as const),
    ...(trustAge === undefined
      ? []
      : [["trust data", `key manifest ${days(trustAge.keyManifestDays)}, channel ${days(trustAge.channelDays)}`] as const]),
    ...(policy === undefined ? [] : [["policy", policy] as const]),
    ...(at === undefined ? [] : [["judged as of", at] as const]),
  ];
}

type Paint = (word: keyof typeof COLOUR, text: string) => string;

function checkLines(outcomes: readonly CheckOutcome[], paint: Paint, { verbose }: TextOptions): readonly string[] {
  const noisy = outcomes.filter(({ status }) => verbose || status !== "pass");
  if (noisy.length === 0) return outcomes.slice(0, 1).map(({ id, title }) => line(paint, "ok", id, title));
  return noisy.map((outcome) => line(paint, MARK[outcome.status], labelOf(outcome), reasonOf(outcome)));
}

function line(paint: Paint, mark: (typeof MARK)[keyof typeof MARK], label: string, text: string): string {
  return `${paint(mark, mark.padEnd(4))} ${label.padEnd(26)} ${text}`;
}

/** "files.digest:uki.efi", or the bare id of a check with one subject. */
export function labelOf({ id, subject }: Pick<CheckOutcome, "id" | "subject">): string {
  return subject === undefined ? id : `${id}:${printable(subject)}`;
}

export function reasonOf(outcome: CheckOutcome): string {
  switch (outcome.status) {
    case "pass":
      return outcome.title;
    case "fail":
      return `${outcome.code}: expected ${printable(outcome.expected)}, got ${printable(outcome.actual)}`;
    case "undecided":
      return `${outcome.code}: ${printable(outcome.detail)}`;
    case "not_present":
      return printable(outcome.detail);
  }
}

function groupById(outcomes: readonly CheckOutcome[]): ReadonlyMap<string, readonly CheckOutcome[]> {
  const groups = new Map<string, CheckOutcome[]>();
  for (const outcome of outcomes) {
    const group = groups.get(outcome.id);
    if (group === undefined) groups.set(outcome.id, [outcome]);
    else group.push(outcome);
  }
  return groups;
}

/** File names and values come from the target: no control or direction character of theirs reaches the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);
}
