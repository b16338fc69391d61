import { join } from "node:path";
import { createDaggerEngine, type DaggerEngineOptions } from "../../../pipelines/engine/dagger/dagger.ts";
import type { Engine } from "../../../pipelines/engine/engine.ts";
import type { Workspace } from "./fixture.ts";

/** The Dagger engine over a workspace. */
export function daggerEngine(
  { top, cacheDir, keys, programs, fetcher }: Workspace,
  more: Pick<DaggerEngineOptions, "env"> & Partial<DaggerEngineOptions>,
): Engine {
  return createDaggerEngine({
    ...{ top, cacheDir, fetcher },
    keyring: (name) => join(keys, name),
    programs: async (name) => join(programs, name),
    ...more,
  });
}

/** How the engine finds the session on a port. */
export const sessionEnv = ({ port, token }: { port: number; token: string }): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  DAGGER_SESSION_PORT: String(port),
  DAGGER_SESSION_TOKEN: token,
});
