import { relative } from "node:path";
import { parseArgs } from "node:util";
import { DISK_FILE, mediumOf, QCOW2_FILE } from "@secai/formats/release-layout";
import { type Build, build } from "@secai/pipelines/build";
import { type EngineName, parseEngineName, parseJobs } from "@secai/pipelines/engine/choose";
import { type CommandIo, printHelp } from "@secai/pipelines/io";
import { prepare, requestOf } from "@secai/pipelines/prepare";
import { type Reported, reported } from "@secai/pipelines/progress/reported";
import { byKind, loadRecipeSource, recipeFile } from "@secai/pipelines/recipe/recipe";
import type { OutputRef, Plan } from "@secai/pipelines/step";
import { releaseSummary } from "@secai/pipelines/summary";
import { runContainerImage } from "./image-container.ts";
import { type PublishOptions, publish, releaseDirectory } from "./publish-build.ts";

const imageHelp = `secai image [RECIPE] [--all-media] [--accept-sizes] [--engine ENGINE] [--jobs N] [--json]

Builds the image of a recipe, predicts its measurements, signs everything and verifies the result. RECIPE: an id or a file; default debian-13.
The release appears at out/RECIPE/VERSION; steps whose inputs did not change come from the cache. Development keys are made at first use.

Of a recipe on a container base (silverblue-42) it makes the container, its SBOM and reports, and says which of its parts are proven where.

  --all-media      also what takes longer than an edit should: OVA, OCI layout, installer ISO; of a container its disk images, which need
                   --engine dagger on a machine that allows privileged containers
  --accept-sizes   write the sizes of root, extensions, initrd and kernel image to recipes/sizes; later builds may be a tenth larger
  --engine local   in sandboxes of this machine (default)
  --engine dagger  in containers of a Dagger engine: a running session, or the one that the dagger CLI reaches
  --engine auto    dagger when the environment points at one, else local
  --jobs N         steps that run at once, 1 to 64; default: one a core of this machine
  --json           progress and result as one JSON event a line on standard output

Examples:
  secai image
  secai image debian-13 --all-media
  secai image debian-13 --engine dagger
  secai image recipes/debian-13.yaml --json
`;

const releaseHelp = `secai release build [RECIPE] [--apply] [--engine ENGINE] [--jobs N] [--json]

Like \`secai image\`, but a candidate for others: with every medium of the recipe, and refused when a locked package has left every mirror. A
release is made from its lock or not at all. Without --apply it says what it would build.

  --apply          build, sign and place it
  --engine ENGINE  local, dagger or auto, as for \`secai image\`
  --jobs N         steps that run at once, 1 to 64; default: one a core of this machine
  --json           progress and result as one JSON event a line on standard output

Examples:
  secai release build
  secai release build debian-13 --apply
`;

export interface Arguments {
  readonly recipe: string;
  readonly json: boolean;
  readonly apply: boolean;
  readonly engine: EngineName;
  readonly jobs: number | undefined;
  readonly allMedia: boolean;
  readonly acceptSizes: boolean;
}

/** What was asked for, or the exit status when there is nothing to do. @throws EngineError ENGINE_UNKNOWN, JOBS_INVALID */
function parse(args: string[], io: CommandIo, help: string): Arguments | number {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      json: { type: "boolean" },
      apply: { type: "boolean" },
      engine: { type: "string", default: "local" },
      jobs: { type: "string" },
      "all-media": { type: "boolean" },
      "accept-sizes": { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true || positionals.length > 1) return printHelp(io, help, values.help === true);
  const jobs = values.jobs === undefined ? undefined : parseJobs(values.jobs);
  return {
    recipe: positionals[0] ?? "debian-13",
    json: values.json === true,
    apply: values.apply === true,
    engine: parseEngineName(values.engine),
    jobs,
    allMedia: values["all-media"] === true,
    acceptSizes: values["accept-sizes"] === true,
  };
}

async function runBuild(asked: Arguments, io: CommandIo, options: PublishOptions): Promise<number> {
  const { json } = asked;
  const started = Date.now();
  const made = await reported(io, (run) => buildWith(run, asked, io, options), json);
  const { dir, changed } = await publish(made, io, options);
  if (json)
    io.stdout(`${JSON.stringify({ type: "release", dir, changed, drift: made.drift, time: new Date().toISOString() })}\n`);
  else io.stdout(releaseSummary({ dir, top: io.top, changed, elapsedMs: Date.now() - started }));
  return 0;
}

/** Media that every build makes; the others take longer than an edit should. */
const QUICK_MEDIA: ReadonlySet<string> = new Set([DISK_FILE, QCOW2_FILE]);

function quickTargets({ outputs }: Plan): readonly OutputRef[] {
  const isQuick = (medium: string | undefined) => medium === undefined || QUICK_MEDIA.has(medium);
  return Object.entries(outputs).flatMap(([name, ref]) => (isQuick(mediumOf(name)) ? [ref] : []));
}

async function buildWith(
  run: Reported,
  { recipe, engine, jobs, allMedia }: Arguments,
  io: CommandIo,
  { designation }: PublishOptions,
): Promise<Build> {
  return await build({
    ...run,
    top: io.top,
    recipe,
    engine,
    ...(jobs !== undefined && { parallelism: jobs }),
    env: io.env,
    channel: designation === "dev" ? "dev" : "release",
    designation,
    ...(!allMedia && { targets: quickTargets }),
  });
}

/** `secai image`. @throws RecipeError, LockError, FetchError, EngineError, PipelineError, VexError, ReleaseError */
export async function runImage(args: string[], io: CommandIo): Promise<number> {
  const asked = parse(args, io, imageHelp);
  if (typeof asked === "number") return asked;
  const source = await loadRecipeSource(io.top, recipeFile(asked.recipe));
  const absence = asked.allMedia ? "not an output of this recipe" : "made by secai image --all-media and by secai release build";
  return await byKind(source, {
    debian: () => runBuild(asked, io, { designation: "dev", acceptSizes: asked.acceptSizes, absence }),
    bootc: (container) => runContainerImage(asked, container, io),
  });
}

/** `secai release build`. @throws as runImage, and LockError LOCK_DRIFT_REFUSED */
export async function runReleaseBuild(args: string[], io: CommandIo): Promise<number> {
  const asked = parse(args, io, releaseHelp);
  if (typeof asked === "number") return asked;
  if (asked.apply)
    return await runBuild({ ...asked, allMedia: true }, io, {
      designation: "candidate",
      absence: "not an output of this recipe",
    });
  const { plan } = await prepare(requestOf(io, asked.recipe));
  const files = Object.keys(plan.outputs).sort();
  const dir = relative(io.top, releaseDirectory(io.top, plan));
  if (asked.json) io.stdout(`${JSON.stringify({ schema: 1, applied: false, dir, steps: plan.steps.length, files })}\n`);
  else
    io.stdout(
      `would run ${plan.steps.length} steps and make ${dir} with\n${files.map((name) => `  ${name}\n`).join("")}run again with --apply\n`,
    );
  return 0;
}
