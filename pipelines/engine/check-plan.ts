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
  const read = [...Object.keys(step.inputs), ...Object.keys(step.secrets)];
  const kept = Object.keys(step.caches ?? {});
  for (const path of [...read, ...kept]) {
    if (!isPlain(path) || isWithin(path, "/out") || isWithin(path, "/tmp"))
      invalid(`a place outside of /out and /tmp in ${step.id}`, path);
  }
  checkCaches(step, read);
  const outputs = Object.entries(step.outputs);
  for (const [name, { path }] of outputs) {
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name))
      invalid(`an output name of letters, digits, ".", "_" and "-" in ${step.id}`, name);
    if (!isPlain(path) || !path.startsWith("/out/")) invalid(`an output below /out in ${step.id}`, path);
    const outer = outputs.find(([other, spec]) => other !== name && isWithin(path, spec.path));
    if (outer !== undefined) invalid(`outputs of ${step.id} beside each other`, `${path} in ${outer[1].path}`);
  }
}

/** A folder that is kept lies beside what the step reads, and once: bubblewrap mounts in order, and a name is locked once. */
function checkCaches(step: ExecStep, read: readonly string[]): void {
  const caches = Object.entries(step.caches ?? {});
  for (const [path, { name }] of caches) {
    if (!/^[a-z0-9][a-z0-9.-]{0,31}$/.test(name))
      invalid(`a cache name of lower-case letters, digits, "." and "-" in ${step.id}`, name);
    const others = caches.filter(([place]) => place !== path);
    const clash = [...read, ...others.map(([place]) => place)].find((place) => isWithin(place, path) || isWithin(path, place));
    if (clash !== undefined) invalid(`a cache of ${step.id} beside its inputs and other caches`, `${path} and ${clash}`);
    if (others.some(([, other]) => other.name === name)) invalid(`the cache ${name} at one place in ${step.id}`, "at two");
  }
}

const isPlain = (path: string): boolean =>
  path.startsWith("/") && path !== "/" && posix.normalize(path) === path && !path.endsWith("/");
const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

function invalid(expected: string, actual: string): never {
  throw new EngineError("PLAN_INVALID", { expected, actual });
}
