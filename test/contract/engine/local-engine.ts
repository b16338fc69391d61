import { join } from "node:path";
import { createLocalEngine, type LocalEngine } from "../../../pipelines/engine/local.ts";
import type { Workspace } from "./fixture.ts";

/** The local engine over a workspace. */
export function localEngine(workspace: Workspace, parallelism?: number, maxCacheBytes?: number): LocalEngine {
  const { top, cacheDir, keys, programs, fetcher } = workspace;
  return createLocalEngine({
    top,
    cacheDir,
    fetcher,
    keyring: (name) => join(keys, name),
    programs: async (name) => join(programs, name),
    ...(parallelism === undefined ? {} : { parallelism }),
    ...(maxCacheBytes === undefined ? {} : { maxCacheBytes }),
  });
}
