import { parseArgs } from "node:util";
import { createCache } from "./engine/cache.ts";
import { recordedSteps, timedSteps } from "./engine/recorded.ts";
import { type Simulation, simulate } from "./engine/simulate.ts";
import type { CommandIo } from "./io.ts";
import { type BootcPrepared, type Prepared, prepareAny, requestOf } from "./prepare.ts";
import { planProof, proofText } from "./proof.ts";
import type { Plan, Step } from "./step.ts";

const help = `secai plan [RECIPE] [--json | --dot] [--simulate]

Shows the steps that a recipe becomes, without running any. RECIPE is an id or a file; default: debian-13.

  --json       the whole plan (or the simulation) as one JSON document
  --dot        the graph for Graphviz
  --simulate   the critical path, and how long a full build would take with 1 to 16 workers, from the recorded times of its steps

Examples:
  secai plan
  secai plan debian-13 --json
  secai plan debian-13 --dot | dot -Tsvg > plan.svg
  secai plan debian-13 --simulate
  secai plan silverblue-42

Of a recipe on a container base it also says what is proven where, and what the lock leaves unresolved: the plan is a preview then.
`;

function dependencies(step: Step): readonly string[] {
  if (step.kind === "fetch") return [];
  const inputs = Object.values(step.inputs).flatMap((input) =>
    input.kind === "output" || input.kind === "fetched" ? [input.step] : [],
  );
  const tools = step.tools.kind === "output" ? [step.tools.step] : [];
  return [...new Set([...tools, ...inputs])].sort();
}

function describe(step: Step): string {
  if (step.kind === "exec") return step.title;
  const bytes = step.files.reduce((sum, { size }) => sum + size, 0);
  return `${step.files.length} locked files, ${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function planText({ recipe, steps }: Plan): string {
  const width = Math.max(...steps.map(({ id }) => id.length));
  const rows = steps.map(
    (step) => `  ${step.id.padEnd(width)}  ${describe(step)}  ← ${dependencies(step).join(", ") || "nothing"}`,
  );
  return `${recipe.id} ${recipe.version}: ${steps.length} steps\n${rows.join("\n")}\n`;
}

function planDot({ steps }: Plan): string {
  const nodes = steps.map(({ id, kind }) => `  "${id}" [shape=${kind === "fetch" ? "cylinder" : "box"}];`);
  const edges = steps.flatMap((step) => dependencies(step).map((from) => `  "${from}" -> "${step.id}";`));
  return `digraph plan {\n  rankdir=LR;\n${[...nodes, ...edges].join("\n")}\n}\n`;
}

/** What only recipes on a container base have to say beside their steps. */
interface BootcRemarks {
  /** What the lock does not know; with anything here the plan is a preview. */
  readonly unresolved: readonly { readonly name: string; readonly reason: string }[];
  readonly experimental: readonly string[];
  readonly proof: ReturnType<typeof planProof>;
}

const isBootcPlan = (prepared: Prepared | BootcPrepared): prepared is BootcPrepared => "kind" in prepared.lock;

function remarksOf({ source, lock, plan }: BootcPrepared): BootcRemarks {
  const { sealed } = source.recipe;
  return {
    unresolved: lock.unresolved,
    experimental: sealed === undefined ? [] : [`sealed: ${sealed}`],
    proof: planProof(plan),
  };
}

function remarksText({ unresolved, experimental, proof }: BootcRemarks, recipe: string): string {
  const open = unresolved.map(({ name, reason }) => `  ${name}: ${reason}\n`).join("");
  const preview = `unresolved in the lock: this is a preview, run \`secai lock update ${recipe}\`\n${open}`;
  return `${experimental.map((line) => `${line}\n`).join("")}${open === "" ? "" : preview}${proofText(proof)}`;
}

const WORKERS = [1, 2, 4, 8, 16] as const;

function simulationText({ totalMs, criticalMs, criticalPath, byWorkers }: Simulation, missing: readonly string[]): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const rows = byWorkers.map(
    ({ workers, wallMs }) => `  ${String(workers).padStart(2)} workers ${seconds(wallMs).padStart(9)}\n`,
  );
  const parallelism = criticalMs === 0 ? 1 : totalMs / criticalMs;
  return `all steps ${seconds(totalMs)}, critical path ${seconds(criticalMs)}, parallelism ${parallelism.toFixed(2)}
${criticalPath.join(" → ")}
${rows.join("")}${missing.length === 0 ? "" : `without steps that never ran as they are now: ${missing.join(", ")}\n`}`;
}

/** `secai plan`. @throws EngineError STEP_NOT_RECORDED, and RecipeError, LockError, PipelineError */
export async function runPlan(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      json: { type: "boolean" },
      dot: { type: "boolean" },
      simulate: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const prepared = await prepareAny(requestOf(io, positionals[0] ?? "debian-13"), "show");
  const { plan, cacheDir } = prepared;
  const remarks = isBootcPlan(prepared) ? remarksOf(prepared) : undefined;
  if (values.simulate === true) {
    const { records, missing } = await recordedSteps(plan, createCache(cacheDir));
    const simulation = simulate(timedSteps(records), WORKERS);
    io.stdout(values.json === true ? `${JSON.stringify({ ...simulation, missing })}\n` : simulationText(simulation, missing));
    return 0;
  }
  if (values.json === true) io.stdout(`${JSON.stringify({ ...plan, ...remarks }, null, 2)}\n`);
  else if (values.dot === true) io.stdout(planDot(plan));
  else io.stdout(planText(plan) + (remarks === undefined ? "" : remarksText(remarks, plan.recipe.id)));
  return 0;
}
