import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { createCache } from "../../../pipelines/engine/cache.ts";
import { lockFile } from "../../../pipelines/engine/lock.ts";
import { verifyCache } from "../../../pipelines/engine/verify-cache.ts";
import type { OutputRecord } from "../../../pipelines/step.ts";
import { sha256Hex, withWorkspace } from "./fixture.ts";

const KILLS = 24;
/** About as long as one whole build of the plan takes. */
const LONGEST_MS = 700;

interface Built {
  readonly id: string;
  readonly cached: boolean;
  readonly outputs: Readonly<Record<string, OutputRecord>>;
}

function startBuild(cacheDir: string, salt: string): ChildProcess {
  const program = join(import.meta.dirname, "kill-child.ts");
  return spawn(process.execPath, [program, cacheDir, salt], { stdio: ["ignore", "pipe", "pipe"] });
}

async function finishBuild(cacheDir: string, salt: string): Promise<Built[]> {
  const child = startBuild(cacheDir, salt);
  if (child.stdout === null || child.stderr === null) throw new Error("no pipes");
  const [printed, said] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  if (child.exitCode !== 0) throw new Error(said);
  return JSON.parse(printed) as Built[];
}

async function verified(cacheDir: string): Promise<readonly unknown[]> {
  const cache = createCache(cacheDir);
  const lock = await lockFile(cache.useLockPath);
  try {
    return (await verifyCache(cache)).bad;
  } finally {
    await lock.release();
  }
}

/** What the plan's last step makes, worked out without any engine. */
function expectedDigest(salt: string): string {
  const numbers = Array.from({ length: 8 }, (_, index) => `${salt} ${index + 1}\n`).join("");
  return sha256Hex(`${numbers}${salt} side\n`);
}

test(`kill -9 at ${KILLS} points: the next run succeeds with the same outputs, and the cache is sound`, () =>
  withWorkspace(async ({ cacheDir }) => {
    let resumed = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const salt = `salt-${kill}`;
      const victim = startBuild(cacheDir, salt);
      // Spread over the whole build, with some noise; the figure is in the message of any failure below.
      const afterMs = (LONGEST_MS * kill) / KILLS + Math.random() * 30;
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      victim.kill("SIGKILL");
      if (victim.exitCode === null && victim.signalCode === null) await once(victim, "exit");
      const built = await finishBuild(cacheDir, salt);
      const where = `killed after ${afterMs.toFixed(0)} ms`;
      expect(built.at(-1)?.outputs.result?.digest, where).toBe(expectedDigest(salt));
      expect(await verified(cacheDir), where).toEqual([]);
      if (built.some(({ cached }) => cached)) resumed += 1;
    }
    // If no killed build had finished a step, or all had finished all, the points were badly chosen.
    expect(resumed).toBeGreaterThan(0);
    const clean = await finishBuild(cacheDir, "salt-last");
    expect(clean.every(({ cached }) => !cached)).toBe(true);
    expect(await readdir(join(cacheDir, "tmp"))).toEqual([]);
  }));

test("two runs of one plan at a time make each step once", () =>
  withWorkspace(async ({ cacheDir }) => {
    const runs = await Promise.all([finishBuild(cacheDir, "both"), finishBuild(cacheDir, "both")]);
    const [first = [], second = []] = runs;
    for (const [index, { id, cached, outputs }] of first.entries()) {
      expect(
        [cached, second[index]?.cached].filter((value) => value === false),
        id,
      ).toHaveLength(1);
      expect(outputs).toEqual(second[index]?.outputs);
    }
    expect(await verified(cacheDir)).toEqual([]);
  }));

test("a run that starts alone removes what dead ones left", () =>
  withWorkspace(async ({ cacheDir }) => {
    await mkdir(join(cacheDir, "tmp", "4194305-left", "step-x", "out"), { recursive: true });
    await finishBuild(cacheDir, "clean");
    expect(await readdir(join(cacheDir, "tmp"))).toEqual([]);
    expect(await readFile(join(cacheDir, "logs", "join.log"), "utf8")).toBe("");
  }));
