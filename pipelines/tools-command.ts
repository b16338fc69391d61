import { parseArgs } from "node:util";
import { createEngine } from "./build.ts";
import { PipelineError } from "./errors.ts";
import { type CommandIo, printHelp } from "./io.ts";
import { machineRoot, machineRootSteps } from "./plan.ts";
import { type Prepared, prepare, requestOf } from "./prepare.ts";
import { reported } from "./progress/reported.ts";
import type { DebianRecipe } from "./recipe/recipe.ts";
import { loadSources, referencesOf } from "./sources.ts";
import type { OutputRef, Plan } from "./step.ts";
import { outputOf } from "./steps/exec.ts";

const help = `secai tools NAME [--path] [--recipe RECIPE]

Makes a locked tool root if the cache does not have it, and prints where it is.

  build     what makes images: systemd-repart, ukify, erofs-utils, mmdebstrap
  machine   what boots and checks them: QEMU, OVMF, swtpm, tpm2-tools, cosign
  cuda, rocm, modules   compilers of the GPU backends and of kernel modules, of recipes that have them

Examples:
  secai tools machine --path
  secai tools modules --recipe debian-13-gpu --path
  ls "$(secai tools build --path)/usr/bin"
`;

/** The machine root is of no use to an image, so it is a plan of its own with the same recipe, lock and keys. */
async function machinePlan(top: string, prepared: Prepared): Promise<Prepared> {
  const { source, lock, plan, cacheDir } = prepared;
  const steps = machineRootSteps({ recipe: source.recipe, lock, sourceDateEpoch: plan.sourceDateEpoch });
  const sources = await loadSources(top, cacheDir, referencesOf(steps));
  const machine: Plan = { ...plan, steps, sources: sources.files, programs: sources.programs, outputs: {} };
  return { ...prepared, sources, plan: machine };
}

/** @throws PipelineError TOOL_ROOT_UNKNOWN */
function requireToolRoot({ id, toolRoots }: DebianRecipe, name: string): void {
  if (Object.hasOwn(toolRoots, name)) return;
  const expected = `a tool root of ${id}: ${Object.keys(toolRoots).join(", ")}`;
  throw new PipelineError("TOOL_ROOT_UNKNOWN", { expected, actual: name });
}

/** `secai tools`. @throws RecipeError, LockError, FetchError, EngineError, PipelineError */
export async function runTools(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      path: { type: "boolean" },
      recipe: { type: "string", default: "debian-13" },
      help: { type: "boolean", short: "h" },
    },
  });
  const [name, ...rest] = positionals;
  if (values.help === true || name === undefined || rest.length > 0) return printHelp(io, help, values.help === true);
  const request = requestOf(io, values.recipe);
  const image = await prepare(request);
  const prepared = name === "machine" ? await machinePlan(io.top, image) : image;
  requireToolRoot(image.source.recipe, name);
  const target: OutputRef = name === "machine" ? machineRoot : outputOf(`root.${name}`, "root");
  const result = await reported(io, (run) => createEngine(request, prepared).run(prepared.plan, { ...run, targets: [target] }));
  io.stdout(`${result.pathOf(target)}\n`);
  return 0;
}
