import { existsSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";

/** ccache tells compilers apart by their content: every sandbox sees them with other times. Undefined when the folder is not there. */
export function cacheEnvironment(folder: string): Record<string, string> | undefined {
  return existsSync(folder) ? { CCACHE_DIR: folder, CCACHE_COMPILERCHECK: "content", CCACHE_MAXSIZE: "4G" } : undefined;
}

/** Compilers at a time. `bytes`: what one may take, in bytes. */
export const compileJobs = (bytes: number): number =>
  Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / bytes)));
