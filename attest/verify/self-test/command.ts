import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type CommandIo, runVerify } from "../command.ts";
import { printable } from "../report-text.ts";
import { type Corpus, parseCorpus, type SelfTestCase } from "./corpus.ts";
import { SelfTestError } from "./errors.ts";
import { type CaseResult, runCase, type Verify } from "./run-case.ts";

export const SELF_TEST_HELP = `secai verify self-test: does this very verifier refuse what it must?

Unpacks a small release that is part of the program into a temporary folder, and verifies it as it is, with each of hundreds of things
wrong (refused by exactly the expected checks), and with harmless differences (accepted). No network, no keys, no repository.

  --only NAME           only cases whose name contains NAME; may be repeated
  --list                the cases and what must find each, without running them
  --json                the result alone, on standard output
  --help

Exit status: 0 every case ended as expected, 1 one did not, 2 wrong use, 70 our bug.

Examples:
  secai verify self-test
  node services/secai-verify.mjs self-test --only quote --json
`;

const options = {
  only: { type: "string", multiple: true },
  list: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true }).values;
  } catch (cause) {
    throw new SelfTestError("SELF_TEST_USAGE", { expected: "known options", actual: (cause as Error).message, cause });
  }
}

/** @throws SelfTestError SELF_TEST_USAGE, CORPUS_DAMAGED */
export async function runSelfTest(args: readonly string[], io: CommandIo): Promise<number> {
  const { help, only, list, json } = parse(args);
  if (help) {
    io.stdout(SELF_TEST_HELP);
    return 0;
  }
  const corpus = await loadCorpus();
  const cases = chosen(corpus, only);
  if (list) {
    for (const { name, exit, expects } of cases) io.stdout(`${printable(name)}: exit ${exit} ${printable(expects.join(", "))}\n`);
    return 0;
  }
  const results = await runCases(corpus, cases);
  print(cases, results, json === true, io);
  return results.every(({ passed }) => passed) ? 0 : 1;
}

/** Only the self-test pays for unpacking it. */
export async function loadCorpus(): Promise<Corpus> {
  return parseCorpus((await import("./corpus.json", { with: { type: "json" } })).default);
}

function chosen({ cases }: Corpus, only: readonly string[] | undefined): readonly SelfTestCase[] {
  if (only === undefined) return cases;
  const found = cases.filter(({ name }) => only.some((part) => name.includes(part)));
  if (found.length === 0)
    throw new SelfTestError("SELF_TEST_USAGE", { expected: "part of the name of a case", actual: only.join(", ") });
  return found;
}

async function runCases(corpus: Corpus, cases: readonly SelfTestCase[]): Promise<readonly CaseResult[]> {
  const folder = mkdtempSync(join(tmpdir(), "secai-self-test-"));
  try {
    const results: CaseResult[] = [];
    for (const one of cases) results.push(await runCase(corpus, one, folder, verify));
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The command that people run, with nothing of their environment: no settings, and no keys of their own. */
export const verify: Verify = async (args) => {
  let [stdout, stderr] = ["", ""];
  const exit = await runVerify(args, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    env: { SECAI_KEYS: "/nonexistent" },
  });
  return { exit, stdout, stderr };
};

function print(cases: readonly SelfTestCase[], results: readonly CaseResult[], json: boolean, io: CommandIo): void {
  const failures = results.filter(({ passed }) => !passed).map(({ name, reason }) => ({ name, reason }));
  const harmless = cases.filter(({ exit }) => exit === 0).length;
  const summary = { schema: 1, total: results.length, passed: results.length - failures.length, harmless, failures };
  if (json) {
    io.stdout(`${JSON.stringify(summary, undefined, 2)}\n`);
    return;
  }
  for (const { name, reason } of failures) io.stdout(`FAIL ${printable(name)}: ${printable(reason)}\n`);
  io.stdout(`${summary.passed}/${summary.total} as expected: ${summary.total - harmless} refused, ${harmless} accepted\n`);
}
