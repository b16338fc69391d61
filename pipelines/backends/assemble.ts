import type { BackendEntry, BackendRecord, GpuBackends } from "@secai/formats/gpu-backends";
import { BackendError } from "./errors.ts";
import type { Unresolved } from "./libraries.ts";

export interface Assembly {
  readonly runtime: GpuBackends["runtime"];
  /** What the recipe declares. */
  readonly declared: readonly string[];
  /** What the steps made, in any order. */
  readonly records: readonly BackendRecord[];
  /** Where each backend lies in the image. */
  readonly places: Readonly<Record<string, string>>;
  /** By place: every library in the folders for backends, as the finished tree has it, by its absolute path. */
  readonly libraries: Readonly<Record<string, ReadonlyMap<string, { readonly sha256: string; readonly size: number }>>>;
  /** By backend: what the loader would miss, see `unresolvedLibraries`. */
  readonly unresolved: Readonly<Record<string, readonly Unresolved[]>>;
}

const missing = (expected: string, actual: string): BackendError => new BackendError("GPU_BACKEND_MISSING", { expected, actual });

/** "extension:cuda" -> "the extension cuda" */
const inWords = (place: string): string => `the ${place.replace(":", " ")}`;

/** The record of a declared backend, with its place. @throws BackendError GPU_BACKEND_MISSING */
function entryOf(name: string, { records, places }: Assembly): BackendEntry {
  const record = records.find((one) => one.name === name);
  if (record === undefined)
    throw missing(`the backend ${name}, which the recipe declares`, records.map((one) => one.name).join(", "));
  const place = places[name];
  if (place === undefined) throw missing(`a place for the backend ${name}`, Object.keys(places).join(", "));
  return { ...record, place };
}

/** @throws BackendError GPU_BACKEND_MISSING, GPU_BACKEND_UNHASHED */
function requireFiles({ name, files, place }: BackendEntry, libraries: Assembly["libraries"]): void {
  for (const { path, sha256, size } of files) {
    const found = libraries[place]?.get(path);
    if (found === undefined) throw missing(`${path} of the backend ${name}`, `no such file in ${inWords(place)}`);
    if (found.sha256 !== sha256 || found.size !== size)
      throw new BackendError("GPU_BACKEND_UNHASHED", {
        expected: `${path} of the backend ${name} with SHA-256 ${sha256}`,
        actual: `${found.sha256}, ${found.size} bytes`,
      });
  }
}

/** Libraries that no backend declares: the runtime would load them all the same. @throws BackendError GPU_BACKEND_UNHASHED */
function requireDeclared(entries: readonly BackendEntry[], libraries: Assembly["libraries"]): void {
  const known = new Set(entries.flatMap(({ files, place }) => files.map(({ path }) => `${path} in ${inWords(place)}`)));
  const present = Object.entries(libraries).flatMap(([place, files]) =>
    [...files.keys()].map((path) => `${path} in ${inWords(place)}`),
  );
  const unknown = present.find((file) => !known.has(file));
  if (unknown === undefined) return;
  throw new BackendError("GPU_BACKEND_UNHASHED", {
    expected: `libraries of the backends ${entries.map(({ name }) => name).join(", ")}`,
    actual: `${unknown}, which none of them declares`,
  });
}

/** @throws BackendError GPU_BACKEND_UNLOADABLE */
function requireLoadable({ name, version, place }: BackendEntry, { runtime, unresolved }: Assembly): void {
  if (version !== runtime.ggml)
    throw new BackendError("GPU_BACKEND_UNLOADABLE", {
      expected: `the backend ${name} made of ggml ${runtime.ggml}, as the runtime`,
      actual: version,
      fix: "Take every backend from the release that the runtime comes from.",
    });
  const found = unresolved[name];
  if (found === undefined) throw new TypeError(`the libraries of the backend ${name} were not checked`);
  if (found.length === 0) return;
  const needs = found.map(({ file, needs: need }) => `${file} needs ${need}`);
  throw new BackendError("GPU_BACKEND_UNLOADABLE", {
    expected: `every library that the backend ${name} needs in ${place === "root" ? inWords(place) : `${inWords("root")} or ${inWords(place)}`}`,
    actual: `${needs.slice(0, 5).join(", ")}${needs.length > 5 ? ` and ${needs.length - 5} more` : ""}`,
  });
}

/**
 * gpu-backends.json of an image, or the reason why one of its backends is not what the recipe declares. There is no fallback: a backend
 * that is missing, cannot be loaded or is not the one that was built fails the build.
 * @throws BackendError GPU_BACKEND_MISSING, GPU_BACKEND_UNHASHED, GPU_BACKEND_UNLOADABLE
 */
export function assembleGpuBackends(assembly: Assembly): GpuBackends {
  const { declared, records, libraries, runtime } = assembly;
  const entries = declared.map((name) => entryOf(name, assembly));
  const undeclared = records.find(({ name }) => !declared.includes(name));
  if (undeclared !== undefined)
    throw missing(`the backend ${undeclared.name}, which was made, in gpuBackends of the recipe`, declared.join(", "));
  for (const entry of entries) requireFiles(entry, libraries);
  requireDeclared(entries, libraries);
  for (const entry of entries) requireLoadable(entry, assembly);
  return { schema: 1, runtime, backends: entries };
}
