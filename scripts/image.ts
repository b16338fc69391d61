import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { defaultKeysDirectory } from "@secai/formats/keys";
import { DISK_FILE, PROVENANCE_FILE, QCOW2_FILE } from "@secai/formats/release-layout";
import { statementBytes } from "@secai/formats/statement";
import { type Build, build, type Channel } from "@secai/pipelines/build";
import { PipelineError } from "@secai/pipelines/errors";
import type { CommandIo } from "@secai/pipelines/io";
import { chooseReporter, createReporter, type Reporter } from "@secai/pipelines/progress/reporter";
import { bytes } from "@secai/pipelines/progress/units";
import { provenanceOf, releaseFiles } from "@secai/pipelines/statements";
import { releaseSummary } from "@secai/pipelines/summary";
import { finishRelease } from "@secai/release/bundle";

const imageHelp = `secai image [RECIPE] [--json]

Builds the image of a recipe, predicts its measurements, signs everything and verifies the result. RECIPE: an id or a file; default debian-13.
The release appears at out/RECIPE/VERSION; steps whose inputs did not change come from the cache. Development keys are made at first use.

  --json   progress and result as one JSON event a line on standard output

Examples:
  secai image
  secai image debian-13
  secai image recipes/debian-13.yaml --json
`;

const releaseHelp = `secai release [RECIPE] [--json]

Like \`secai image\`, and refuses when a locked package has left every mirror: a release is made from its lock or not at all.

Examples:
  secai release
  secai release debian-13
`;

/** Size and change time of every file: enough to see that a release directory is the one we wrote. */
function stamps(dir: string): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  const entries = files.map((entry): [string, string] => {
    const path = join(entry.parentPath, entry.name);
    const stat = lstatSync(path, { bigint: true });
    return [relative(dir, path), `${stat.size}.${stat.mtimeNs}.${stat.ctimeNs}.${stat.ino}`];
  });
  return Object.fromEntries(entries.sort());
}

/** Remembers which build a release directory came from, so that nothing is signed again when nothing changed. */
function publishedMark({ prepared }: Build, dir: string) {
  const path = join(prepared.cacheDir, "published", `${sha256(dir)}.json`);
  return {
    holds(build: string): boolean {
      try {
        return readFileSync(path, "utf8") === canonicalJson({ build, files: stamps(dir) });
      } catch {
        return false;
      }
    },
    write(build: string): void {
      mkdirSync(join(prepared.cacheDir, "published"), { recursive: true });
      writeFileSync(`${path}.${process.pid}`, canonicalJson({ build, files: stamps(dir) }));
      renameSync(`${path}.${process.pid}`, path);
    },
  };
}

/** The commit, when the checkout is exactly it. */
function cleanCommit(top: string): string | undefined {
  const git = (...args: string[]) => spawnSync("git", ["-C", top, ...args], { encoding: "utf8" });
  const status = git("status", "--porcelain");
  const head = git("rev-parse", "HEAD").stdout?.trim() ?? "";
  return status.status === 0 && status.stdout === "" && /^[0-9a-f]{40}$/.test(head) ? head : undefined;
}

function checkBudget({ prepared, result }: Build): void {
  const { recipe } = prepared.source;
  const size = releaseFiles(prepared.plan, result.records).get(DISK_FILE)?.size ?? 0;
  if (size > recipe.sizeBudgetMiB * 2 ** 20) {
    throw new PipelineError("IMAGE_TOO_LARGE", { expected: `at most ${recipe.sizeBudgetMiB} MiB`, actual: bytes(size) });
  }
}

/** Signs and places a build; says whether there was anything to do. */
async function publish(made: Build, io: CommandIo): Promise<{ dir: string; changed: boolean }> {
  const { prepared, result } = made;
  const { plan, source } = prepared;
  const dir = join(io.top, "out", plan.recipe.id, plan.recipe.version);
  const mark = publishedMark(made, dir);
  const commitSha = cleanCommit(io.top);
  const identity = sha256(
    canonicalJson({
      plan: plan.outputs,
      keys: result.records.map(({ key }) => key),
      release: prepared.keyring.publicFiles["release.pub"],
      commitSha,
    }),
  );
  if (existsSync(dir) && mark.holds(identity)) return { dir, changed: false };
  checkBudget(made);
  const records = releaseFiles(plan, result.records);
  const outputs = Object.entries(plan.outputs).map(([name, ref]) => [name, { path: result.pathOf(ref) }] as const);
  const provenance = statementBytes(provenanceOf(made, io.top, "dev"));
  const absent = source.recipe.outputs.includes("qcow2")
    ? undefined
    : [{ name: QCOW2_FILE, reason: "not an output of this recipe" }];
  await finishRelease({
    files: { ...Object.fromEntries(outputs), [PROVENANCE_FILE]: { content: provenance } },
    out: dir,
    keysDir: defaultKeysDirectory(io.env),
    records: Object.fromEntries([...records].map(([name, { digest, size }]) => [name, { sha256: digest, size }])),
    ...(absent === undefined ? {} : { absent }),
    ...(commitSha === undefined ? {} : { commitSha }),
    // Copies: a virtual machine that writes to its disk image must not reach the cache.
    link: false,
  });
  mark.write(identity);
  return { dir, changed: true };
}

async function runBuild(args: string[], io: CommandIo, channel: Channel, help: string): Promise<number> {
  const started = Date.now();
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help === true || positionals.length > 1) {
    (values.help === true ? io.stdout : io.stderr)(help);
    return values.help === true ? 0 : 2;
  }
  const json = values.json === true;
  const reporter = createReporter(chooseReporter(json ? process.stdout : process.stderr, io.env, json));
  const made = await buildWith(reporter, positionals[0] ?? "debian-13", io, channel);
  const { dir, changed } = await publish(made, io);
  if (json)
    io.stdout(`${JSON.stringify({ type: "release", dir, changed, drift: made.drift, time: new Date().toISOString() })}\n`);
  else io.stdout(releaseSummary({ dir, top: io.top, changed, elapsedMs: Date.now() - started }));
  return 0;
}

async function buildWith(reporter: Reporter, recipe: string, io: CommandIo, channel: Channel): Promise<Build> {
  const notice = (message: string) => reporter.report({ type: "notice", level: "info", message, time: new Date().toISOString() });
  try {
    return await build({
      top: io.top,
      recipe,
      env: io.env,
      channel,
      notice,
      report: reporter.report,
      ...(io.signal === undefined ? {} : { signal: io.signal }),
    });
  } finally {
    reporter.close();
  }
}

/** `secai image`. @throws RecipeError, LockError, FetchError, EngineError, PipelineError, ReleaseError */
export const runImage = (args: string[], io: CommandIo): Promise<number> => runBuild(args, io, "dev", imageHelp);

/** `secai release`. @throws as runImage, and LockError LOCK_DRIFT_REFUSED */
export const runRelease = (args: string[], io: CommandIo): Promise<number> => runBuild(args, io, "release", releaseHelp);
