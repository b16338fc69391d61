import { randomUUID } from "node:crypto";
import { chmod, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ExecStep, OutputRef, Plan, StepRecord } from "../step.ts";
import type { Cache } from "./cache.ts";
import type { EngineEvent } from "./engine.ts";
import { EngineError } from "./errors.ts";
import type { Materializer } from "./materialize.ts";
import { withMounts } from "./mounts.ts";
import { collectOutputs } from "./outputs.ts";
import { checkSandbox, runLogged } from "./process.ts";
import { removeTree } from "./remove.ts";
import type { ResolvedStep } from "./resolve.ts";
import { type SandboxSpec, sandboxCommand } from "./sandbox.ts";

export interface ExecuteContext {
  readonly cache: Cache;
  readonly plan: Plan;
  readonly step: ExecStep;
  readonly report: (event: EngineEvent) => void;
  readonly signal: AbortSignal;
  readonly temporary: string;
  readonly pathOf: (ref: OutputRef) => string;
  readonly materializer: Materializer;
}

/** Where a step's program runs: all that differs between engines. */
export interface StepRunner {
  /** Called before the first step that must run; an engine that cannot run any says so here. */
  check(): Promise<void>;
  /** Brings what the step reads to where it runs. */
  prepare(context: ExecuteContext, resolved: ResolvedStep): Promise<PreparedStep>;
}

export interface PreparedStep {
  /** Name of the engine that runs it, for the record. */
  readonly engine: string;
  /**
   * Runs the step's program, filling `<folder>/out` and the log with what it prints.
   * @returns the exit status, 128 + n after signal n
   */
  run(folder: string, logPath: string): Promise<number>;
}

export const localRunner: StepRunner = {
  check: checkSandbox,
  async prepare(context) {
    const { cache, step, signal } = context;
    const spec = await sandboxOf(context);
    const run = (folder: string, logPath: string) =>
      withMounts(cache, step, signal, (mounts) =>
        runLogged(sandboxCommand(withScratch({ ...spec, binds: [...spec.binds, ...mounts] }, folder)), logPath, signal),
      );
    return { engine: "local", run };
  },
};

/**
 * Runs a step in its sandbox and publishes what it made.
 * @throws EngineError STEP_FAILED, STEP_OUTPUT_MISSING, STEP_OUTPUT_UNDECLARED, BUILD_CANCELLED
 */
export async function executeStep(context: ExecuteContext, resolved: ResolvedStep, runner: StepRunner): Promise<StepRecord> {
  const { cache, step, report } = context;
  const logPath = cache.logPath(step.id);
  await mkdir(dirname(logPath), { recursive: true });
  const prepared = await runner.prepare(context, resolved);
  const startedOn = new Date().toISOString();
  report({ type: "step-started", step: step.id, title: step.title, time: startedOn });
  const folder = await makeStepFolder(context.temporary);
  try {
    const status = await prepared.run(folder, logPath);
    if (status !== 0) throw stepFailed(step, status, logPath);
    const entry = join(folder, "entry");
    const outputs = await collectOutputs(step, join(folder, "out"), entry);
    const finishedOn = new Date().toISOString();
    const { key, inputs } = resolved;
    const made = { id: step.id, key, step, inputs, outputs, startedOn, finishedOn };
    const record = { ...made, cached: false, engine: prepared.engine, drift: [] };
    await cache.publish(record, entry);
    return record;
  } finally {
    await removeTree(folder);
  }
}

/** The sandbox of a step, without its private /out and /tmp and its kept folders. */
export async function sandboxOf(
  context: Pick<ExecuteContext, "plan" | "step" | "pathOf" | "materializer">,
): Promise<SandboxSpec> {
  const { plan, step, pathOf, materializer } = context;
  return {
    root: step.tools.kind === "host" ? { kind: "host" } : { kind: "tree", path: pathOf(step.tools) },
    argv: step.run,
    binds: await materializer.bindsOf(step),
    env: { SOURCE_DATE_EPOCH: String(plan.sourceDateEpoch), ...step.env },
    network: "none",
    privileges: step.privileges,
  };
}

/** `out` and `tmp` of one execution, on the disk of the cache: a step may need more scratch space than memory has. */
export async function makeStepFolder(temporary: string): Promise<string> {
  const folder = join(temporary, `step-${randomUUID()}`);
  await mkdir(join(folder, "out"), { recursive: true });
  await mkdir(join(folder, "tmp"));
  await chmod(join(folder, "out"), 0o755);
  await chmod(join(folder, "tmp"), 0o1777);
  return folder;
}

export function withScratch(spec: SandboxSpec, folder: string): SandboxSpec {
  const scratch = ["out", "tmp"].map((name) => ({ src: join(folder, name), dst: `/${name}`, writable: true }));
  return { ...spec, binds: [...scratch, ...spec.binds] };
}

function stepFailed(step: ExecStep, status: number, logPath: string): EngineError {
  return new EngineError("STEP_FAILED", {
    expected: `exit status 0 from step ${step.id}`,
    actual: `${status}, log in ${logPath}`,
    fix: `Read ${logPath}; \`scripts/secai step shell ${step.id}\` opens the same sandbox.`,
  });
}
