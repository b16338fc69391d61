import { isDeepStrictEqual } from "node:util";
import { jsonPath, type Mistake, type Position } from "./mistake.ts";
import type { RecipeFile } from "./recipe-file.ts";

type Path = readonly string[];

/** Values that one file sets whole. */
const atoms: readonly Path[] = [
  ["schema"],
  ["id"],
  ["title"],
  ["version"],
  ["base"],
  ["release"],
  ["toolBase"],
  ["repository"],
  ["imageBuilder"],
  ["sealed"],
  ["initrd", "overlay"],
  ["disk", "espMiB"],
  ["disk", "rootMiB"],
  ["disk", "verityMiB"],
  ["disk", "imageGiB"],
  ["sizeBudgetMiB"],
  ["cycloneDx"],
];

/** Lists that every file may add to. */
const lists: readonly Path[] = [
  ["packages"],
  ["toolRoots", "build"],
  ["toolRoots", "machine"],
  ["toolRoots", "cuda"],
  ["toolRoots", "rocm"],
  ["toolRoots", "modules"],
  ["npm"],
  ["extensions"],
  ["kernelArguments"],
  ["services"],
  ["overlays"],
  ["initrd", "modules"],
  ["remove", "packages"],
  ["remove", "paths"],
  ["remove", "commands"],
  ["modules"],
  ["units", "enabled"],
  ["units", "disabled"],
  ["gpuBackends"],
  ["outputs"],
];

/** A file together with every file it extends, directly or not. */
export interface Layer {
  readonly source: RecipeFile;
  readonly extended: ReadonlySet<string>;
}

export interface Merged {
  readonly value: Readonly<Record<string, unknown>>;
  /** Which line each value came from: `disk.espMiB`, or list and item: `packages/systemd`. */
  readonly origins: ReadonlyMap<string, Position>;
  readonly mistakes: readonly Mistake[];
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}

function assign(target: Record<string, unknown>, path: Path, value: unknown): void {
  const [head = "", ...rest] = path;
  if (rest.length === 0) {
    target[head] = value;
    return;
  }
  const inner = (target[head] ?? {}) as Record<string, unknown>;
  target[head] = inner;
  assign(inner, rest, value);
}

/** What makes two items of a list the same: a package's name, or the item. */
function itemKey(item: unknown): string {
  return typeof item === "object" && item !== null && "name" in item ? String(item.name) : String(item);
}

const place = ({ file, line, column }: Position): string => `${file}:${line}:${column}`;

function mergeAtom(
  layers: readonly Layer[],
  path: Path,
  merged: Record<string, unknown>,
  origins: Map<string, Position>,
): Mistake[] {
  const name = jsonPath(path);
  const mistakes: Mistake[] = [];
  let winner: { readonly layer: Layer; readonly value: unknown; readonly at: Position } | undefined;
  for (const layer of layers) {
    const value = valueAt(layer.source.value, path);
    if (value === undefined) continue;
    const at = layer.source.keyPosition(path);
    // A file overrides what it extends; two fragments that know nothing of each other may not disagree.
    if (winner !== undefined && !layer.extended.has(winner.layer.source.file) && !isDeepStrictEqual(winner.value, value)) {
      mistakes.push({ ...at, code: "CONFLICT", path: name, message: `has another value at ${place(winner.at)}` });
    }
    winner = { layer, value, at };
  }
  if (winner !== undefined) {
    assign(merged, path, winner.value);
    origins.set(name, winner.at);
    for (const inner of innerPaths(winner.value, path)) origins.set(jsonPath(inner), winner.layer.source.keyPosition(inner));
  }
  return mistakes;
}

/** Paths of all that a value holds, so that a mistake in it can be told by its own line. */
function innerPaths(value: unknown, path: readonly (string | number)[]): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [];
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return entries.flatMap(([key, inner]) => [[...path, key], ...innerPaths(inner, [...path, key])]);
}

function mergeList(
  layers: readonly Layer[],
  path: Path,
  merged: Record<string, unknown>,
  origins: Map<string, Position>,
): Mistake[] {
  const mistakes: Mistake[] = [];
  const items: unknown[] = [];
  let given = false;
  for (const { source } of layers) {
    const list = valueAt(source.value, path) as readonly unknown[] | undefined;
    given ||= list !== undefined;
    for (const [index, item] of (list ?? []).entries()) {
      const key = `${jsonPath(path)}/${itemKey(item)}`;
      const at = source.position([...path, index]);
      const earlier = origins.get(key);
      if (earlier === undefined) {
        origins.set(key, at);
        items.push(item);
      } else {
        const message = `"${itemKey(item)}" stands already at ${place(earlier)}`;
        mistakes.push({ ...at, code: "DUPLICATE", path: jsonPath([...path, index]), message });
      }
    }
  }
  if (given) assign(merged, path, items);
  return mistakes;
}

/** Joins files, the extended before the extending. Pure; each file must have passed the schema. */
export function mergeLayers(layers: readonly Layer[]): Merged {
  const value: Record<string, unknown> = {};
  const origins = new Map<string, Position>();
  const mistakes = [
    ...atoms.flatMap((path) => mergeAtom(layers, path, value, origins)),
    ...lists.flatMap((path) => mergeList(layers, path, value, origins)),
  ];
  return { value, origins, mistakes };
}
