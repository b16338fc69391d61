import { posix } from "node:path";
import type { ExecStep, Plan, Step } from "../step.ts";
import { EngineError } from "./errors.ts";

/**
 * What engines rely on: unique ids, references to earlier steps only (so no circle), and paths and names that stay where they belong.
 * @throws EngineError PLAN_INVALID
 */
export function checkPlan(plan: Plan): void {
  const seen = new Set<string>();
  for (const step of plan.steps) {
    if (seen.has(step.id)) invalid("unique step ids", `${step.id} twice`);
    const missing = dependenciesOf(step).find((id) => !seen.has(id));
    if (missing !== undefined) invalid(`step ${missing} before ${step.id}`, "no such earlier step");
    if (step.kind === "exec") checkPaths(step);
    seen.add(step.id);
  }
}

/** The steps whose outputs or files a step reads. */
export function dependenciesOf(step: Step): string[] {
  if (step.kind === "fetch") return [];
  const inputs = Object.values(step.inputs).filter((input) => input.kind === "output" || input.kind === "fetched");
  return [...new Set([...(step.tools.kind === "output" ? [step.tools.step] : []), ...inputs.map((input) => input.step)])];
}

function checkPaths(step: ExecStep): void {
  for (const path of [...Object.keys(step.inputs), ...Object.keys(step.secrets)]) {
    if (!isPlain(path) || isWithin(path, "/out") || isWithin(path, "/tmp"))
      invalid(`a place outside of /out and /tmp in ${step.id}`, path);
  }
  const outputs = Object.entries(step.outputs);
  for (const [name, { path }] of outputs) {
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name))
      invalid(`an output name of letters, digits, ".", "_" and "-" in ${step.id}`, name);
    if (!isPlain(path) || !path.startsWith("/out/")) invalid(`an output below /out in ${step.id}`, path);
    const outer = outputs.find(([other, spec]) => other !== name && isWithin(path, spec.path));
    if (outer !== undefined) invalid(`outputs of ${step.id} beside each other`, `${path} in ${outer[1].path}`);
  }
}

const isPlain = (path: string): boolean =>
  path.startsWith("/") && path !== "/" && posix.normalize(path) === path && !path.endsWith("/");
const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

function invalid(expected: string, actual: string): never {
  throw new EngineError("PLAN_INVALID", { expected, actual });
}
