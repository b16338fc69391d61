import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Sha256 } from "../../attest/formats/digest.ts";
import { createCache } from "../../pipelines/engine/cache.ts";
import type { StepRecord } from "../../pipelines/step.ts";
import { VmError } from "../vm/errors.ts";

interface Named {
  readonly name: string;
  readonly digest: { readonly sha256?: string };
}
interface Provenance {
  readonly predicate: {
    readonly buildDefinition: { readonly resolvedDependencies: readonly Named[] };
    readonly runDetails: { readonly byproducts: readonly Named[] };
  };
}

/** A finished build: its release directory, and what its cache says of each step. */
export interface Built {
  readonly dir: string;
  readonly steps: ReadonlyMap<string, StepRecord>;
  /** What the build read, "name digest", sorted. The commit is left out: a copy has none. */
  readonly dependencies: readonly string[];
  outputPath(step: string, output: string): string;
}

/** @throws VmError HARNESS_PROTOCOL when the provenance names a step that the cache does not have */
export async function readBuild(dir: string, cacheDir: string): Promise<Built> {
  const cache = createCache(cacheDir);
  const { predicate } = JSON.parse(readFileSync(join(dir, "provenance.intoto.json"), "utf8")) as Provenance;
  const steps = new Map<string, StepRecord>();
  for (const { name, digest } of predicate.runDetails.byproducts) {
    const key = digest.sha256 as Sha256;
    const record = await cache.lookup(key);
    if (record === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: `${name} in ${cacheDir}`, actual: "none" });
    steps.set(name.replace(/^step:/, ""), record);
  }
  const dependencies = predicate.buildDefinition.resolvedDependencies
    .filter(({ name }) => name !== "repository")
    .map(({ name, digest }) => `${name} ${digest.sha256}`)
    .sort();
  const keyOf = (step: string): Sha256 => (steps.get(step) as StepRecord).key;
  return { dir, steps, dependencies, outputPath: (step, output) => cache.outputPath(keyOf(step), output) };
}
