import { createCache } from "../cache.ts";
import type { Engine } from "../engine.ts";
import { DEFAULT_MAX_CACHE_BYTES, tidy } from "../gc.ts";
import type { LocalEngineOptions } from "../local.ts";
import { joinLock } from "../lock.ts";
import { removeTree } from "../remove.ts";
import { withRun } from "../run.ts";
import { treeDigest } from "../tree-digest.ts";
import { type Connection, createConnection } from "./connection.ts";
import { findEngine } from "./discover.ts";
import { parseLauncher } from "./launcher.ts";
import { createDaggerRunner } from "./runner.ts";
import type { SessionLimits } from "./session.ts";

/** Longest time for one step. The slowest one known, squashing an image, takes minutes; a runner that hangs must not hold a build for ever. */
const STEP_LIMIT_MS = 4 * 60 * 60_000;

export interface DaggerEngineOptions extends LocalEngineOptions {
  /** Tells where the engine is (DAGGER_*, PATH) and goes to the CLI. */
  readonly env: NodeJS.ProcessEnv;
  /** A tree that stands for {kind: "host"} tools; its digest takes the place of the host's in keys and records. */
  readonly hostToolsPath?: string;
  readonly stepLimitMs?: number;
  readonly sessionLimits?: SessionLimits;
}

/**
 * Runs steps as containers of a Dagger engine: of this machine, a remote one or one in a cluster. Records, keys and cache are those of
 * the local engine, so either takes up what the other has made.
 * @throws by `run`: DaggerError, and what the local engine throws
 */
export function createDaggerEngine(options: DaggerEngineOptions): Engine {
  const cache = createCache(options.cacheDir);
  let joined: Promise<unknown> | undefined;
  return {
    name: "dagger",
    async run(plan, runOptions) {
      const launcher = parseLauncher(options.env.SECAI_DAGGER_LAUNCHER);
      findEngine(options.env);
      joined ??= joinLock(cache.useLockPath, () => tidy(cache, options.maxCacheBytes ?? DEFAULT_MAX_CACHE_BYTES));
      await joined;
      const targets = (runOptions.targets ?? Object.values(plan.outputs)).map(({ step }) => step);
      const { hostToolsPath } = options;
      const hostTools =
        hostToolsPath === undefined ? {} : { hostTools: { name: "host", digest: (await treeDigest(hostToolsPath)).digest } };
      const temporary = await cache.makeTemporary();
      const stop = new AbortController();
      const signal = runOptions.signal === undefined ? stop.signal : AbortSignal.any([runOptions.signal, stop.signal]);
      const connection: Connection = createConnection({
        ...{ env: options.env, launcher, temporary, signal, stepLimitMs: options.stepLimitMs ?? STEP_LIMIT_MS },
        notice: (message) => runOptions.report({ type: "notice", level: "info", message, time: new Date().toISOString() }),
        ...(options.sessionLimits === undefined ? {} : { sessionLimits: options.sessionLimits }),
      });
      const runner = createDaggerRunner({ connection, ...(hostToolsPath === undefined ? {} : { hostToolsPath }) });
      try {
        return await withRun({ ...options, ...hostTools, cache, runner }, plan, runOptions, (run) => run.build(targets));
      } finally {
        stop.abort();
        await connection.close();
        await removeTree(temporary);
      }
    },
  };
}
