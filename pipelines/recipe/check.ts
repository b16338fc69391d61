import { resolve } from "node:path";
import { contradictions } from "./contradictions.ts";
import { type Layer, mergeLayers } from "./merge.ts";
import { jsonPath, type Mistake, sortMistakes } from "./mistake.ts";
import { normalise } from "./normalise.ts";
import type { RecipeSource } from "./recipe.ts";
import { loadRecipeFile, type RecipeFile } from "./recipe-file.ts";
import { missingKeys, partMistakes } from "./schema.ts";

export interface RecipeCheck {
  /** Absent when there are mistakes. */
  readonly source?: RecipeSource;
  /** By file and line. */
  readonly mistakes: readonly Mistake[];
}

interface Gathered {
  readonly layers: Layer[];
  readonly files: RecipeFile[];
  readonly mistakes: Mistake[];
}

/** Reads `path` after everything it extends, each file once, and says which files it stands on. */
async function gather(topDir: string, path: string, trail: readonly string[], into: Gathered): Promise<ReadonlySet<string>> {
  const known = into.layers.find(({ source }) => resolve(topDir, source.file) === path);
  if (known !== undefined) return new Set([...known.extended, known.source.file]);
  const source = await loadRecipeFile(topDir, path);
  const own = source.mistakes.length > 0 ? source.mistakes : partMistakes(source);
  const extended = new Set<string>();
  for (const [index, name] of fragmentNames(source).entries()) {
    const next = resolve(topDir, "recipes", name);
    const at = { ...source.position(["extends", index]), path: jsonPath(["extends", index]) };
    if (next === path || trail.includes(next)) {
      into.mistakes.push({ ...at, code: "EXTENDS_CYCLE", message: `"${name}" extends this file in turn` });
      continue;
    }
    for (const file of await gather(topDir, next, [...trail, path], into)) extended.add(file);
  }
  into.mistakes.push(...own);
  into.files.push(source);
  // A file that fails its schema is not merged: its shape could not be relied on.
  if (own.length === 0) into.layers.push({ source, extended });
  return new Set([...extended, source.file]);
}

function fragmentNames({ value }: RecipeFile): string[] {
  if (typeof value !== "object" || value === null || !("extends" in value) || !Array.isArray(value.extends)) return [];
  return value.extends.filter((name): name is string => typeof name === "string" && !name.split("/").includes(".."));
}

/** A key that is missing because it was misspelt is one mistake, not two. */
function withoutMisspelt(missing: readonly Mistake[], found: readonly Mistake[]): Mistake[] {
  const meant = new Set(found.map(({ suggestion }) => suggestion));
  return missing.filter(({ path }) => !meant.has(path.split(".").at(-1)));
}

/**
 * Finds every mistake in a recipe and in all it extends. Never throws for what a file says.
 * @param file absolute, or from the top of the repository
 */
export async function checkRecipe(topDir: string, file: string): Promise<RecipeCheck> {
  const gathered: Gathered = { layers: [], files: [], mistakes: [] };
  await gather(topDir, resolve(topDir, file), [], gathered);
  const main = gathered.files.at(-1);
  if (main === undefined) throw new TypeError("gather reads at least one file");
  const merged = mergeLayers(gathered.layers);
  const found = [...gathered.mistakes, ...merged.mistakes];
  // With a file left out, what it holds would be reported as missing.
  const complete = gathered.layers.length === gathered.files.length;
  const missing = complete ? withoutMisspelt(missingKeys(merged.value, main), found) : [];
  if (complete && missing.length === 0) found.push(...contradictions(normalise(merged), merged, main.file));
  const mistakes = sortMistakes([...found, ...missing]);
  if (mistakes.length > 0) return { mistakes };
  const files = gathered.files.map(({ file: name, sha256 }) => ({ file: name, sha256 }));
  return { source: { recipe: normalise(merged), origins: merged.origins, files }, mistakes };
}
