import { existsSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { tool } from "../programs/tool.ts";
import { BUILD } from "./cuda.ts";

/** ccache tells compilers apart by their content: every sandbox sees them with other times. Undefined when the folder is not there. */
export function cacheEnvironment(folder: string): Record<string, string> | undefined {
  return existsSync(folder) ? { CCACHE_DIR: folder, CCACHE_COMPILERCHECK: "content", CCACHE_MAXSIZE: "4G" } : undefined;
}

/** Compilers at a time. `bytes`: what one may take, in bytes. */
export const compileJobs = (bytes: number): number =>
  Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / bytes)));

export interface Compilation {
  /** What ninja makes, e.g. "ggml-cuda". */
  readonly target: string;
  /** GPUs, for people. */
  readonly gpus: readonly string[];
  /** Options of CMake, with or without a compiler cache. */
  readonly cmake: (cached: boolean) => readonly string[];
  /** What one compiler may take, in bytes. */
  readonly bytesAJob: number;
  /** Folder of the compiler cache; used when it is there. */
  readonly ccache: string;
}

/** Configures and compiles one backend. @throws Error when cmake or ninja fails */
export function compileBackend({ target, gpus, cmake, bytesAJob, ccache }: Compilation): void {
  const cache = cacheEnvironment(ccache);
  const jobs = compileJobs(bytesAJob);
  console.log(`configuring for ${gpus.join(", ")}${cache === undefined ? "" : ", with a compiler cache"}`);
  tool("cmake", cmake(cache !== undefined), { env: cache ?? {} });
  console.log(`compiling, ${jobs} files at a time; the largest take minutes`);
  tool("ninja", ["-C", BUILD, "-j", String(jobs), target], { env: cache ?? {} });
}
