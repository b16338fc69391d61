import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { type Build, buildContainer } from "@secai/pipelines/build";
import type { CommandIo } from "@secai/pipelines/io";
import type { BootcPrepared } from "@secai/pipelines/prepare";
import { type Reported, reported } from "@secai/pipelines/progress/reported";
import { planProof, proofText } from "@secai/pipelines/proof";
import type { BootcRecipe, RecipeSource } from "@secai/pipelines/recipe/recipe";
import { releaseFiles } from "@secai/pipelines/statements";
import type { OutputRef, Plan } from "@secai/pipelines/step";
import type { Arguments } from "./image.ts";

const PROOF_FILE = "proof.json";

/** Everything but what needs the devices of a machine. */
function containerTargets({ outputs }: Plan): readonly OutputRef[] {
  return Object.values(outputs).filter(({ step }) => step !== "disk");
}

/** All of a build or none of it: the folder is filled beside its place. */
function place({ prepared, result }: Build<BootcPrepared>, top: string): string {
  const { plan } = prepared;
  const dir = join(top, "out", plan.recipe.id, plan.recipe.version);
  mkdirSync(dirname(dir), { recursive: true });
  const fresh = mkdtempSync(`${dir}.new-`);
  try {
    for (const [name, { ref }] of releaseFiles(plan, result.records)) {
      mkdirSync(dirname(join(fresh, name)), { recursive: true });
      cpSync(result.pathOf(ref), join(fresh, name), { recursive: true, verbatimSymlinks: true });
    }
    writeFileSync(join(fresh, PROOF_FILE), `${JSON.stringify({ schema: 1, steps: planProof(plan) }, null, 2)}\n`);
    rmSync(dir, { recursive: true, force: true });
    renameSync(fresh, dir);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return dir;
}

/**
 * `secai image` of a recipe on a container base. What it makes is no release: nothing is signed, and the container is published by other hands.
 * @throws LockError LOCK_UNRESOLVED at once, EngineError STEP_NEEDS_RUNNER, and what a build throws
 */
export async function runContainerImage(
  { json, engine, jobs, allMedia, recipe }: Arguments,
  source: RecipeSource<BootcRecipe>,
  io: CommandIo,
): Promise<number> {
  const build = async (run: Reported) => {
    const { sealed } = source.recipe;
    if (sealed !== undefined) run.notice(`sealed: ${sealed}`);
    const built = await buildContainer(
      {
        ...run,
        ...{ top: io.top, recipe, engine, env: io.env, channel: "dev" },
        ...(jobs !== undefined && { parallelism: jobs }),
        ...(!allMedia && { targets: containerTargets }),
      },
      source,
    );
    const dir = relative(io.top, place(built, io.top));
    const proof = planProof(built.prepared.plan);
    if (json) io.stdout(`${JSON.stringify({ type: "image", dir, proof, time: new Date().toISOString() })}\n`);
    else io.stdout(`\nimage ${dir}\n${proofText(proof)}`);
    return 0;
  };
  return await reported(io, build, json);
}
