import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import type { Designation } from "@secai/formats/designation";
import { sha256 } from "@secai/formats/digest";
import { defaultKeysDirectory } from "@secai/formats/keys";
import { DISK_FILE, MEDIA, mediumOf, PROVENANCE_FILE, VEX_CYCLONEDX_FILE, VEX_FILE } from "@secai/formats/release-layout";
import { statementBytes } from "@secai/formats/statement";
import type { Build } from "@secai/pipelines/build";
import { PipelineError } from "@secai/pipelines/errors";
import type { CommandIo } from "@secai/pipelines/io";
import { bytes } from "@secai/pipelines/progress/units";
import { isBootc } from "@secai/pipelines/recipe/recipe";
import { SizeError } from "@secai/pipelines/sizes/errors";
import { measureSizes } from "@secai/pipelines/sizes/measure";
import { formatSizes, loadSizes, requireAcceptedSizes, sizesPath } from "@secai/pipelines/sizes/sizes";
import { provenanceOf, releaseFiles } from "@secai/pipelines/statements";
import { cycloneDxVexOf, lockedPurl, openVexOf } from "@secai/pipelines/vex/documents";
import { loadWaivers, requireCurrent } from "@secai/pipelines/vex/waivers";
import { finishRelease } from "@secai/release/bundle";

// From a build to a release directory: statements about it, waivers, the release itself, and a mark that it is there.

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

const sizesFile = (io: CommandIo, recipeId: string) => join(io.top, sizesPath(recipeId));

/** Writes down what the parts weigh, for later builds to be held to. */
function acceptSizes(made: Build, io: CommandIo): void {
  const { recipe } = made.prepared.source;
  if (isBootc(recipe)) return;
  const file = sizesFile(io, recipe.id);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, formatSizes(measureSizes(made, recipe)));
}

/**
 * Parts that grew by more than a tenth since somebody looked are refused by name. A development build of a recipe that nobody has measured
 * says so and goes on.
 * @throws SizeError
 */
function checkSizes(made: Build, io: CommandIo, designation: PublishOptions["designation"]): void {
  const { recipe } = made.prepared.source;
  if (isBootc(recipe)) return;
  const recorded = loadSizes(sizesFile(io, recipe.id));
  if (recorded !== undefined) requireAcceptedSizes(recorded, measureSizes(made, recipe));
  else if (designation === "candidate")
    throw new SizeError("SIZE_UNRECORDED", { expected: sizesPath(recipe.id), actual: "no such file" });
  else
    io.stderr(
      `nobody has accepted the sizes of ${recipe.id}: secai image ${recipe.id} --accept-sizes writes ${sizesPath(recipe.id)}\n`,
    );
}

export interface PublishOptions {
  readonly designation: Exclude<Designation, "stable">;
  /** Write the sizes of this build down as those that later ones are held to. */
  readonly acceptSizes?: boolean;
  /** Why a medium that the recipe can have is not in this release. */
  readonly absence: string;
}

/** Where the release of a build goes. */
export const releaseDirectory = (top: string, { recipe }: Build["prepared"]["plan"]) =>
  join(top, "out", recipe.id, recipe.version);

/** Signs and places a build; says whether there was anything to do. @throws PipelineError, VexError, ReleaseError */
export async function publish(made: Build, io: CommandIo, options: PublishOptions): Promise<{ dir: string; changed: boolean }> {
  const { prepared, result } = made;
  const { plan } = prepared;
  const dir = releaseDirectory(io.top, plan);
  const mark = publishedMark(made, dir);
  const commitSha = cleanCommit(io.top);
  const vex = await vexFiles(made, io.top, options);
  const identity = sha256(
    canonicalJson({
      plan: plan.outputs,
      keys: result.records.map(({ key }) => key),
      release: prepared.keyring.publicFiles["release.pub"],
      vex: Object.values(vex).map(({ content }) => sha256(content)),
      designation: options.designation,
      ...(commitSha !== undefined && { commitSha }),
    }),
  );
  if (options.acceptSizes === true) acceptSizes(made, io);
  if (existsSync(dir) && mark.holds(identity)) return { dir, changed: false };
  checkBudget(made);
  checkSizes(made, io, options.designation);
  const records = releaseFiles(plan, result.records);
  const outputs = [...records].map(([name, { ref }]) => [name, { path: result.pathOf(ref) }] as const);
  const provenance = statementBytes(provenanceOf(made, io.top, options.designation));
  await finishRelease({
    files: { ...Object.fromEntries(outputs), ...vex, [PROVENANCE_FILE]: { content: provenance } },
    out: dir,
    keysDir: defaultKeysDirectory(io.env),
    records: Object.fromEntries([...records].map(([name, { digest, size }]) => [name, { sha256: digest, size }])),
    absent: absentMedia([...records.keys()], options),
    ...(commitSha === undefined ? {} : { commitSha }),
    // Copies: a virtual machine that writes to its disk image must not reach the cache.
    link: false,
  });
  mark.write(identity);
  return { dir, changed: true };
}

function absentMedia(outputs: readonly string[], { absence }: PublishOptions) {
  const made = new Set(outputs.map(mediumOf));
  return MEDIA.filter((medium) => !made.has(medium)).map((name) => ({ name, reason: absence }));
}

/**
 * The recipe's waivers as VEX. A candidate needs every one of them current; a development build says nothing of those that are not.
 * @throws VexError
 */
async function vexFiles({ prepared }: Build, top: string, { designation }: PublishOptions) {
  const { recipe } = prepared.source;
  const all = await loadWaivers(top, recipe.id);
  const packages = new Map(prepared.lock.roots.image.map((locked) => [locked.name, lockedPurl(locked)]));
  const today = new Date().toISOString().slice(0, 10);
  if (designation === "candidate") requireCurrent(all, new Set(packages.keys()), today);
  const current = { ...all, waivers: all.waivers.filter(({ expires }) => expires >= today) };
  if (current.waivers.length === 0) return {};
  const subject = { recipe: recipe.id, version: recipe.version, packages };
  return {
    [VEX_FILE]: { content: openVexOf(current, subject) },
    [VEX_CYCLONEDX_FILE]: { content: cycloneDxVexOf(current, subject) },
  };
}
