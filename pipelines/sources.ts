import { lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";
import { sourceDigest } from "./engine/source-digest.ts";
import { PipelineError } from "./errors.ts";
import { createProgramBundler } from "./program-bundles.ts";
import { openStatCache, type StatCache } from "./stat-cache.ts";
import type { Step } from "./step.ts";

/** What a list of steps reads from the repository. */
export interface References {
  readonly sources: readonly string[];
  readonly programs: readonly string[];
}

export function referencesOf(steps: readonly Step[]): References {
  const inputs = steps.flatMap((step) => (step.kind === "exec" ? Object.values(step.inputs) : []));
  const sources = inputs.flatMap((input) => (input.kind === "source" ? [input.path] : []));
  const programs = inputs.flatMap((input) => (input.kind === "program" ? [input.name] : []));
  return { sources: [...new Set(sources)].sort(), programs: [...new Set(programs)].sort() };
}

/** @throws PipelineError SOURCE_MISSING */
function digestOf(top: string, path: string, cache: StatCache): Sha256 {
  const full = join(top, path);
  if (lstatSync(full, { throwIfNoEntry: false }) === undefined) {
    throw new PipelineError("SOURCE_MISSING", { expected: path, actual: "no such file or folder" });
  }
  return sourceDigest(full, (file) => cache.digest(file));
}

export interface Sources {
  readonly files: Readonly<Record<string, Sha256>>;
  readonly programs: Readonly<Record<string, Sha256>>;
  /** Where the bundled program lies. */
  programPath(name: string): string;
}

/**
 * Reads what the steps refer to. Bundled programs are kept below the cache, by digest.
 * @throws PipelineError SOURCE_MISSING
 */
export async function loadSources(top: string, cacheDir: string, { sources, programs }: References): Promise<Sources> {
  const cache = openStatCache(join(cacheDir, "source-digests.json"));
  const files = Object.fromEntries(sources.map((path) => [path, digestOf(top, path, cache)]));
  mkdirSync(cacheDir, { recursive: true });
  const bundler = createProgramBundler(top, cacheDir, cache);
  const bundles = new Map(await Promise.all(programs.map(async (name) => [name, await bundler.bundle(name)] as const)));
  bundler.save();
  cache.save();
  const digests = Object.fromEntries([...bundles].map(([name, { digest }]) => [name, digest]));
  const programPath = (name: string) => {
    const path = bundles.get(name)?.path;
    if (path === undefined) throw new PipelineError("PLAN_UNRESOLVED", { expected: `program ${name}`, actual: "not bundled" });
    return path;
  };
  return { files, programs: digests, programPath };
}
