import type { Corpus, SelfTestCase } from "./corpus.ts";
import { applyChanges, writeBase } from "./disk.ts";

/** What the verifier made of a case. */
export interface Outcome {
  readonly exit: number;
  /** Every check that does not pass as "id" or "id:subject", or the error that ended the run as "error:CODE". */
  readonly findings: readonly string[];
  /** "id CODE" of the same. */
  readonly reasons: readonly string[];
}

/** The `verify` command, with its output collected. */
export type Verify = (
  args: readonly string[],
) => Promise<{ readonly exit: number; readonly stdout: string; readonly stderr: string }>;

export interface CaseResult {
  readonly name: string;
  readonly passed: boolean;
  /** Empty when it passed. */
  readonly reason: string;
}

/** Puts the case's disk into `folder`, which holds nothing else, and asks the verifier. */
export async function runCase(corpus: Corpus, one: SelfTestCase, folder: string, verify: Verify): Promise<CaseResult> {
  writeBase(folder, corpus);
  applyChanges(folder, one.changes, corpus.blobs);
  const reason = mistakeIn(one, await ask(one.args, { folder, at: corpus.at }, verify));
  return { name: one.name, passed: reason === "", reason };
}

/** What an argument's placeholders stand for. */
export interface Setting {
  readonly folder: string;
  readonly at: string;
}

/** Arguments name the folder as "@", so that a case does not depend on where and when it runs. */
export async function ask(args: readonly string[], { folder, at }: Setting, verify: Verify): Promise<Outcome> {
  const { exit, stdout, stderr } = await verify([
    ...args.map((arg) => (arg === "{at}" ? at : arg.replace(/^@/, folder))),
    "--json",
  ]);
  if (stdout === "") return { exit, findings: [`error:${/^[A-Z][A-Z0-9_]*/.exec(stderr)?.[0] ?? "UNNAMED"}`], reasons: [] };
  const { checks } = JSON.parse(stdout) as { checks: readonly { id: string; subject?: string; status: string; code?: string }[] };
  const open = checks.filter(({ status }) => status === "fail" || status === "undecided");
  const findings = open.map(({ id, subject }) => (subject === undefined ? id : `${id}:${subject}`));
  return { exit, findings, reasons: open.map(({ id, code }) => `${id} ${code}`) };
}

/** Ids of findings, sorted, each once. */
export function idsOf({ findings }: Outcome): readonly string[] {
  return [...new Set(findings.map((finding) => (finding.startsWith("error:") ? finding : (finding.split(":")[0] ?? ""))))].sort();
}

/** What is wrong with an outcome, as a line for people; empty when it is the expected one. */
export function mistakeIn(expected: Pick<SelfTestCase, "exit" | "expects" | "ids" | "code">, outcome: Outcome): string {
  if (outcome.exit !== expected.exit) return `exit ${expected.exit} expected, got ${outcome.exit} with ${list(idsOf(outcome))}`;
  const missing = expected.expects.filter(
    (one) => !outcome.findings.some((found) => found === one || found.startsWith(`${one}:`)),
  );
  if (missing.length > 0) return `expected ${list(missing)}, found ${list(idsOf(outcome))}`;
  const reason = `${expected.expects[0]?.split(":")[0]} ${expected.code}`;
  if (expected.code !== undefined && !outcome.reasons.includes(reason))
    return `expected ${reason}, found ${list(outcome.reasons)}`;
  const [wanted, found] = [list(expected.ids), list(idsOf(outcome))];
  return wanted === found ? "" : `expected exactly ${wanted}, found ${found}`;
}

const list = (names: readonly string[]) => (names.length === 0 ? "nothing" : names.join(", "));
