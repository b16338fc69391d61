import { readFileSync } from "node:fs";
import { canonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import type { ExecStep, FetchStep, Input, OutputRecord, OutputRef, Plan, ResolvedInput, Step } from "../step.ts";
import { checkPlan, dependenciesOf } from "./check-plan.ts";
import { EngineError } from "./errors.ts";

/** A step whose inputs are known by content. */
export interface ResolvedStep {
  readonly step: Step;
  readonly inputs: readonly ResolvedInput[];
  /** Digest of everything that can change the step's outputs. */
  readonly key: Sha256;
}

/** What stands for the tools of {kind: "host"} in a record. */
export type HostTools = Named;

/** Finds the record of an output that is already made. */
export type OutputLookup = (ref: OutputRef) => OutputRecord;

/**
 * Replaces every reference of a step by the digest of what it refers to. Outputs count by their content, so a step that made the same
 * bytes as before does not cause the steps after it to run again. The id and the title do not count, the environment (`sandbox`) does.
 * @throws EngineError PLAN_INVALID
 */
export function resolveStep(plan: Plan, step: Step, lookup: OutputLookup, sandbox: string, hostTools?: HostTools): ResolvedStep {
  return step.kind === "fetch"
    ? resolveFetch(step)
    : resolveExec(plan, step, lookup, { sandbox, hostTools: hostTools ?? ownTools() });
}

/** Digest of what a fetch step brings: names and contents, not where they come from. */
export function fetchedDigest(step: FetchStep): Sha256 {
  const files = step.files.map(({ name, sha256: digest }) => ({ name, sha256: digest }));
  return sha256(canonicalJson(files.sort((a, b) => (a.name < b.name ? -1 : 1))));
}

function resolveFetch(step: FetchStep): ResolvedStep {
  return { step, inputs: [], key: sha256(canonicalJson({ schema: 1, kind: "fetch", files: fetchedDigest(step) })) };
}

interface Environment {
  readonly sandbox: string;
  readonly hostTools: HostTools;
}

function resolveExec(plan: Plan, step: ExecStep, lookup: OutputLookup, { sandbox, hostTools }: Environment): ResolvedStep {
  const inputs: ResolvedInput[] = [
    { path: "/", kind: "tools", ...resolveTools(step, lookup, hostTools) },
    ...entriesByPath(step.inputs).map(([path, input]) => ({ path, kind: input.kind, ...resolveInput(plan, input, lookup) })),
    ...entriesByPath(step.secrets).map(([path, secret]) => ({
      path,
      kind: "secret" as const,
      name: secret.name,
      digest: secret.identity,
    })),
  ];
  const key = sha256(
    canonicalJson({
      schema: 1,
      kind: "exec",
      sandbox,
      sourceDateEpoch: plan.sourceDateEpoch,
      network: step.network,
      privileges: step.privileges,
      ...(step.caches === undefined ? {} : { caches: step.caches }),
      env: step.env,
      run: step.run,
      outputs: step.outputs,
      inputs: inputs.map(({ path, kind, digest }) => ({ path, secret: kind === "secret", digest })),
    }),
  );
  return { step, inputs, key };
}

type Named = Pick<ResolvedInput, "name" | "digest">;

function resolveTools(step: ExecStep, lookup: OutputLookup, hostTools: HostTools): Named {
  return step.tools.kind === "host"
    ? hostTools
    : { name: `${step.tools.step}/${step.tools.output}`, digest: lookup(step.tools).digest };
}

/** A machine's own tools are known by its operating system's release only: a new release makes a new tool root. */
function ownTools(): HostTools {
  return { name: "host", digest: sha256(readFileSync("/etc/os-release")) };
}

function resolveInput(plan: Plan, input: Input, lookup: OutputLookup): Named {
  switch (input.kind) {
    case "output":
      return { name: `${input.step}/${input.output}`, digest: lookup(input).digest };
    case "source":
      return { name: input.path, digest: known(plan.sources[input.path], `a digest of the source ${input.path}`) };
    case "program":
      return { name: input.name, digest: known(plan.programs[input.name], `a digest of the program ${input.name}`) };
    case "fetched":
      return { name: input.step, digest: fetchedDigest(findFetchStep(plan, input.step)) };
    case "text":
      return { name: "text", digest: sha256(input.content) };
  }
}

/** @throws EngineError PLAN_INVALID */
export function findFetchStep(plan: Plan, id: string): FetchStep {
  const step = plan.steps.find((candidate) => candidate.id === id);
  return known(step?.kind === "fetch" ? step : undefined, `a fetch step ${id}`);
}

/** The steps that the targets need, in plan order. @throws EngineError PLAN_INVALID, STEP_UNKNOWN */
export function neededSteps(plan: Plan, targets: readonly string[]): Step[] {
  checkPlan(plan);
  const byId = new Map(plan.steps.map((step) => [step.id, step]));
  const needed = new Set<string>();
  const pending = [...targets];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    const step = byId.get(id);
    if (step === undefined) throw new EngineError("STEP_UNKNOWN", { expected: [...byId.keys()].join(" "), actual: id });
    if (!needed.has(id)) pending.push(...dependenciesOf(step));
    needed.add(id);
  }
  return plan.steps.filter((step) => needed.has(step.id));
}

function known<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new EngineError("PLAN_INVALID", { expected: what, actual: "none in the plan" });
  return value;
}

function entriesByPath<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
