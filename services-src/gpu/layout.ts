import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import {
  type Backend,
  type BackendEntry,
  type GpuBackends,
  MAX_GPU_BACKENDS_BYTES,
  parseGpuBackends,
} from "@secai/formats/gpu-backends";
import { exists, readBounded } from "@secai/kit/files";

/** Where the sealed root declares its backends. */
export const GPU_BACKENDS_PATH = "/usr/lib/secure-ai/gpu-backends.json";
const RUNTIME_PATH = "/usr/lib/secure-ai/runtime";

/** The library that each backend is loaded by; the CPU's is chosen by the runtime. */
const LIBRARIES: Readonly<Record<Exclude<Backend, "cpu">, string>> = {
  cuda: "libggml-cuda.so",
  rocm: "libggml-hip.so",
  vulkan: "libggml-vulkan.so",
};

/**
 * Where files of the running system lie: "/" on the machine, or trees that are laid over each other there, such as the image's root and
 * its extensions as a build leaves them. The first that has a path wins.
 */
export interface Layout {
  readonly roots: readonly string[];
}

/** Where a path of the running system lies; undefined when no tree has it. */
export function locate({ roots }: Layout, path: string): string | undefined {
  return roots.map((root) => join(root, path)).find((full) => existsSync(full));
}

export interface Declared {
  readonly backends: GpuBackends;
  readonly bytes: Buffer;
}

/** The declaration of backends; undefined when no tree has one. @throws KitError, FormatError */
export async function loadDeclared(layout: Layout): Promise<Declared | undefined> {
  const path = locate(layout, GPU_BACKENDS_PATH);
  if (path === undefined || !(await exists(path))) return undefined;
  const bytes = await readBounded(path, MAX_GPU_BACKENDS_BYTES);
  return { backends: parseGpuBackends(bytes), bytes };
}

export const runtimeFolder = (layout: Layout): string | undefined => locate(layout, RUNTIME_PATH);

/** The declared path of a backend's library; undefined for the CPU's and where it is not among the files. */
export function libraryOf({ name, files }: Pick<BackendEntry, "name" | "files">): string | undefined {
  if (name === "cpu") return undefined;
  return files.map(({ path }) => path).find((path) => basename(path) === LIBRARIES[name]);
}
