// `make reproducible`: builds the image a second time, elsewhere and otherwise, and compares every byte with the first.
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CodedError } from "../../attest/formats/errors.ts";
import { cacheDirectory } from "../../pipelines/engine/command.ts";
import { top } from "../../scripts/house/tree.ts";
import { VmError } from "../vm/errors.ts";
import { onTermination } from "../vm/processes.ts";
import { type CheckResult, compareDependencies, compareReleases, compareSteps, expectOther, ranTwice, result } from "./checks.ts";
import { type ImageRun, runImage, type StepTime } from "./image-run.ts";
import { rebuildMatches, rebuildRefuses } from "./rebuild.ts";
import { type Built, readBuild } from "./records.ts";
import { changeFile, copyTree, createWorkshop, removeWorkshop, type Workshop } from "./workshop.ts";

const HELP = `reproducible: builds the image again and compares every byte with the release in out/.

The second build runs at another path, with an empty cache (only fetched files are shared), another umask, home, time zone and language,
later, and on one processor; the keys are the same. A third build, with one byte added to a policy, must differ. Then secai rebuild must
find that the release matches its provenance.

  --json FILE   results as JSON
`;

/** Everything about the surroundings that must not matter. Turkish: its i and I are not each other's cases. */
const OTHER_ENVIRONMENT = { TZ: "Pacific/Kiritimati", LANG: "tr_TR.UTF-8", LC_ALL: "tr_TR.UTF-8", LANGUAGE: "tr" };
const OTHER_UMASK = "077";
const ONE_PROCESSOR = spawnSync("taskset", ["--version"]).status === 0 ? ["taskset", "-c", "0"] : [];

const CHANGED_FILE = "image/common/etc/secure-ai/policy/agent.yaml";

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1).padStart(6)} s`;
const say = (text: string): void => console.log(text);
const showStep = ({ id, cached, durationMs }: StepTime): void => {
  if (!cached) say(`      ${seconds(durationMs)}  ${id}`);
};

/** The first build, and a copy of the checkout it was made from: if somebody edits meanwhile, both are made again. */
async function buildAndCopy(): Promise<{ run: ImageRun; workshop: Workshop }> {
  for (let tries = 3; tries > 0; tries--) {
    say("first build: the checkout, the user's cache");
    await runImage({ top, env: process.env, onStep: showStep });
    const workshop = createWorkshop("fetched", OTHER_ENVIRONMENT);
    const run = await runImage({ top, env: process.env, onStep: showStep });
    if (!run.changed) return { run, workshop };
    removeWorkshop(workshop);
    say("      the checkout changed meanwhile: once more");
  }
  throw new VmError("HARNESS_TOOL_FAILED", { expected: "a checkout that rests for a moment", actual: "it changed three times" });
}

async function rebuild({ checkout, env, cacheDir }: Workshop): Promise<Built> {
  const run = await runImage({ top: checkout, env, prefix: ONE_PROCESSOR, umask: OTHER_UMASK, onStep: showStep });
  say(`      ${seconds(run.wallMs)}  altogether`);
  return await readBuild(run.dir, cacheDir);
}

async function runChecks(onResult: (check: CheckResult) => void): Promise<void> {
  const { run, workshop } = await buildAndCopy();
  const snapshot = mkdtempSync(join(workshop.dir, "first-"));
  const release = onTermination(() => removeWorkshop(workshop));
  try {
    onResult(result("current", "the release in out/ is of this checkout", undefined));
    // A copy: another build may replace the release while the second one runs.
    copyTree(run.dir, join(snapshot, "release"));
    const first = await readBuild(join(snapshot, "release"), cacheDirectory(process.env));
    say(
      `second build: ${workshop.checkout}, umask ${OTHER_UMASK}, ${ONE_PROCESSOR.length > 0 ? "one processor" : "no taskset here"}`,
    );
    const second = await rebuild(workshop);
    const checks = [ranTwice(first, second), compareDependencies(first, second), ...(await compareSteps(first, second))];
    for (const check of [...checks, ...compareReleases(first, second)]) onResult(check);
    say(`third build: one byte added to ${CHANGED_FILE}`);
    const kept = join(snapshot, "second");
    copyTree(second.dir, kept);
    changeFile(workshop, CHANGED_FILE, " ", "  ");
    for (const check of expectOther({ ...second, dir: kept }, await rebuild(workshop), "one more space in a policy"))
      onResult(check);
    onResult(rebuildRefuses(workshop.checkout, workshop.env, join(snapshot, "release"), join(snapshot, "refused.json")));
    say("fourth build: secai rebuild, from the provenance of the first");
    for (const check of rebuildMatches(top, join(snapshot, "release"), join(snapshot, "verdict.json"))) onResult(check);
  } finally {
    release();
    removeWorkshop(workshop);
  }
}

function parseArguments(argv: readonly string[]): { readonly json: string | undefined } | "help" {
  try {
    const { values } = parseArgs({ args: [...argv], options: { json: { type: "string" }, help: { type: "boolean" } } });
    return values.help === true ? "help" : { json: values.json };
  } catch (cause) {
    throw new VmError("SUITE_USAGE", { expected: "--json FILE", actual: (cause as Error).message, cause });
  }
}

function report(checks: readonly CheckResult[], faults: readonly string[], json: string | undefined): number {
  const failures = checks.flatMap(({ id, difference }) =>
    difference === undefined ? [] : [`reproducible: ${id}: ${difference}`],
  );
  const failed = [...failures, ...faults];
  const passed = checks.length - failures.length;
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ passed, failed, skipped: [], checks }, undefined, 2)}\n`);
  say(`${passed} passed, ${failed.length} failed, 0 skipped`);
  return failures.length > 0 ? 1 : faults.length > 0 ? 3 : 0;
}

async function main(): Promise<number> {
  const options = parseArguments(process.argv.slice(2));
  if (options === "help") {
    process.stdout.write(HELP);
    return 0;
  }
  const checks: CheckResult[] = [];
  const faults: string[] = [];
  try {
    await runChecks((check) => {
      checks.push(check);
      say(`${check.difference === undefined ? "ok   " : "FAIL "} ${check.id.padEnd(36)} ${check.difference ?? check.title}`);
    });
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    say(`FAULT ${error.message}\n      ${error.fix}`);
    faults.push(`reproducible: harness fault: ${error.message.split("\n", 1)[0]}`);
  }
  return report(checks, faults, options.json);
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof CodedError ? `${error.message}\n${error.fix}` : error);
  process.exitCode = error instanceof CodedError ? error.exit : 70;
}
