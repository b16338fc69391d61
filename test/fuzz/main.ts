// Throws damaged and hostile inputs at every parser, for a while: node scripts/setup.mjs test/fuzz/main.ts --seconds 5
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CodedError } from "../../attest/formats/errors.ts";
import { VmError } from "../vm/errors.ts";
import { keepInput } from "./corpus.ts";
import type { FuzzLimits } from "./fuzz.ts";
import { runTarget } from "./run.ts";
import { targets } from "./targets.ts";

const HELP = `fuzz: no input makes a parser throw anything but an error with a code, take a second, or eat the memory

  --seconds N   for each parser (default 3)
  --only NAMES  some of them, separated by commas; --list names them all
  --seed N      of the inputs; the same seed gives the same ones (default: the day)
  --keep        add some short inputs with a new kind of answer to test/fuzz/corpus
  --json FILE   the result as a suite

A finding is printed with its seed, and its input kept in test/fuzz/corpus/<parser>/, where every later run begins.
Exit status: 0 none, 1 findings, 2 wrong use.
`;

const options = {
  seconds: { type: "string" },
  only: { type: "string" },
  seed: { type: "string" },
  keep: { type: "boolean" },
  list: { type: "boolean" },
  json: { type: "string" },
  help: { type: "boolean" },
} as const;

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (cause) {
    throw new VmError("SUITE_USAGE", { expected: "known options", actual: (cause as Error).message, cause });
  }
}

function positive(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new VmError("SUITE_USAGE", { expected: `--${name} with a number above 0`, actual: text ?? "nothing" });
}

async function chosen(only: string | undefined): Promise<readonly string[]> {
  const names = (await targets()).map(({ name }) => name);
  const wanted = only?.split(",") ?? names;
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length === 0) return wanted;
  throw new VmError("SUITE_USAGE", { expected: `some of ${names.join(",")}`, actual: unknown.join(",") });
}

/** A corpus in a repository stays small: a few inputs of each parser, and short ones. */
const MAX_KEPT_INPUTS = 10;
const MAX_KEPT_BYTES = 2048;
const smallest = (inputs: readonly Buffer[]) =>
  inputs
    .filter(({ length }) => length <= MAX_KEPT_BYTES)
    .toSorted((a, b) => a.length - b.length)
    .slice(-MAX_KEPT_INPUTS);

/** One line about a target; the finding, if there is one. */
async function run(name: string, limits: FuzzLimits, keep: boolean): Promise<string | undefined> {
  const { executions, kinds, finding, kept } = await runTarget(name, limits);
  if (keep) for (const input of smallest(kept)) keepInput(name, input);
  console.log(
    `${finding === undefined ? "ok  " : "FAIL"} ${name.padEnd(20)} ${executions} inputs, ${kinds} kinds of answer, ${kept.length} kept`,
  );
  if (finding === undefined) return undefined;
  const path = keepInput(name, finding.input);
  console.log(`     seed ${limits.seed}, input in ${path}\n     ${finding.problem.split("\n").slice(0, 4).join("\n     ")}`);
  return `${name}: ${finding.problem.split("\n")[0] ?? ""}`;
}

async function main(): Promise<number> {
  const values = parse(process.argv.slice(2));
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const names = await chosen(values.only);
  if (values.list) {
    for (const name of names) console.log(name);
    return 0;
  }
  const seed = positive("seed", values.seed, Math.floor(Date.now() / 86_400_000));
  const milliseconds = positive("seconds", values.seconds, 3) * 1000;
  const failed: string[] = [];
  for (const name of names) {
    const finding = await run(name, { seed, milliseconds, executions: Number.POSITIVE_INFINITY }, values.keep === true);
    if (finding !== undefined) failed.push(finding);
  }
  console.log(`seed ${seed}: ${names.length - failed.length}/${names.length} parsers without a finding`);
  if (values.json !== undefined) writeResult(resolve(values.json), names.length, failed);
  return failed.length === 0 ? 0 : 1;
}

function writeResult(path: string, total: number, failed: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ passed: total - failed.length, failed, skipped: [] })}\n`);
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof CodedError ? `${error.message}\n${error.fix}` : error);
  process.exitCode = error instanceof CodedError ? error.exit : 70;
}
