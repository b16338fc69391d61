import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type BackendRecord, type GpuBackends, parseBackendRecord } from "@secai/formats/gpu-backends";
import { type Assembly, assembleGpuBackends } from "./assemble.ts";
import { BackendError } from "./errors.ts";
import { type LayeredTree, resolveInTrees } from "./layered-tree.ts";
import { systemFolders, type Unresolved, unresolvedLibraries } from "./libraries.ts";
import { BASE_LIBRARY, ggmlVersionOf } from "./npm.ts";
import { BACKENDS_FOLDER, RECORD_FILE, RUNTIME_FOLDER } from "./record.ts";

export interface Collection {
  /** The npm package that the runtime comes from. */
  readonly runtime: { readonly package: string; readonly version: string };
  /** What the recipe declares. */
  readonly declared: readonly string[];
  /** "root" or "extension:NAME", by backend. */
  readonly places: Readonly<Record<string, string>>;
  /** Outputs of the backends' steps, by backend. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Trees that become the sealed root, the one that wins first. */
  readonly root: LayeredTree;
  /** Trees of system extensions, by name. */
  readonly extensions: Readonly<Record<string, string>>;
  /** Debian's name for the folder of libraries, e.g. "x86_64-linux-gnu". */
  readonly multiarch: string;
}

/** What ggml opens as a backend in the folder of the runtime (ggml-backend-reg.cpp); its base library is none. */
const isBackendLibrary = (name: string): boolean => /^libggml-.*\.so$/.test(name) && name !== BASE_LIBRARY;

const RELEASE_LIBRARY = /^libllama\.(v[0-9][0-9A-Za-z.-]{0,40})\.so$/;

/** Names in a folder of layered trees, each once. */
function namesIn(trees: LayeredTree, folder: string): readonly string[] {
  const names = trees.flatMap((tree) => {
    try {
      return readdirSync(join(tree, folder));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  });
  return [...new Set(names)].sort();
}

function backendPaths(trees: LayeredTree): readonly string[] {
  const runtime = namesIn(trees, RUNTIME_FOLDER)
    .filter(isBackendLibrary)
    .map((name) => `${RUNTIME_FOLDER}/${name}`);
  const own = namesIn(trees, BACKENDS_FOLDER).flatMap((backend) =>
    namesIn(trees, `${BACKENDS_FOLDER}/${backend}`).map((name) => `${BACKENDS_FOLDER}/${backend}/${name}`),
  );
  return [...runtime, ...own];
}

/** Every library in these trees that the runtime could open as a backend. */
function librariesIn(trees: LayeredTree): ReadonlyMap<string, { readonly sha256: string; readonly size: number }> {
  const found = backendPaths(trees).flatMap((path) => {
    const file = resolveInTrees(trees, path);
    if (file === undefined) return [];
    const bytes = readFileSync(file);
    return [[path, { sha256: sha256(bytes), size: bytes.length }] as const];
  });
  return new Map(found);
}

const librariesOf = ({ root, extensions }: Collection): Assembly["libraries"] => ({
  root: librariesIn(root),
  ...Object.fromEntries(Object.entries(extensions).map(([name, tree]) => [`extension:${name}`, librariesIn([tree])])),
});

/** What lies in the runtime's folder and is no backend. */
function runtimeFiles(root: LayeredTree): GpuBackends["runtime"]["files"] {
  return namesIn(root, RUNTIME_FOLDER)
    .filter((name) => !isBackendLibrary(name))
    .map((name) => {
      const path = `${RUNTIME_FOLDER}/${name}`;
      const file = resolveInTrees(root, path);
      if (file === undefined)
        throw new BackendError("GPU_BACKEND_SOURCE_UNEXPECTED", { expected: `regular files in ${RUNTIME_FOLDER}`, actual: name });
      const bytes = readFileSync(file);
      return { path, sha256: sha256(bytes), size: bytes.length };
    });
}

function runtimeOf({ runtime, root }: Collection): GpuBackends["runtime"] {
  const releases = namesIn(root, RUNTIME_FOLDER).flatMap((name) => RELEASE_LIBRARY.exec(name)?.[1] ?? []);
  const base = resolveInTrees(root, `${RUNTIME_FOLDER}/${BASE_LIBRARY}`);
  const [llamaCpp] = releases;
  if (llamaCpp === undefined || releases.length !== 1 || base === undefined)
    throw new BackendError("GPU_BACKEND_SOURCE_UNEXPECTED", {
      expected: `a runtime of ${runtime.package}: one libllama and ${BASE_LIBRARY} in ${RUNTIME_FOLDER}`,
      actual: namesIn(root, RUNTIME_FOLDER).join(", ") || "no file",
    });
  return { ...runtime, llamaCpp, ggml: ggmlVersionOf(readFileSync(base)), files: runtimeFiles(root), licences: ["MIT"] };
}

function recordsOf({ outputs }: Collection): readonly BackendRecord[] {
  return Object.entries(outputs).map(([backend, directory]) => {
    const record = parseBackendRecord(readFileSync(join(directory, RECORD_FILE)));
    if (record.name === backend) return record;
    throw new BackendError("GPU_BACKEND_MISSING", { expected: `the backend ${backend}`, actual: `the backend ${record.name}` });
  });
}

/** What the loader would miss of one backend, with its extension laid over the root as the machine does. */
function unresolvedOf(record: BackendRecord, { places, root, extensions, multiarch }: Collection): readonly Unresolved[] {
  const name = places[record.name]?.replace(/^extension:/, "") ?? "root";
  const extension = extensions[name];
  return unresolvedLibraries({
    trees: extension === undefined ? root : [extension, ...root],
    files: record.files.map(({ path }) => path),
    loaded: [`${RUNTIME_FOLDER}/${BASE_LIBRARY}`],
    opened: record.libraries,
    folders: systemFolders(multiarch),
  });
}

/**
 * Looks at the finished trees and makes gpu-backends.json of what is really in them.
 * @throws BackendError with the name of the backend that is not as declared; FormatError for a backend.json that is none
 */
export function collectGpuBackends(collection: Collection): GpuBackends {
  const { declared, places } = collection;
  const records = recordsOf(collection);
  const unresolved = Object.fromEntries(records.map((record) => [record.name, unresolvedOf(record, collection)]));
  return assembleGpuBackends({
    runtime: runtimeOf(collection),
    ...{ declared, places, records, unresolved },
    libraries: librariesOf(collection),
  });
}
