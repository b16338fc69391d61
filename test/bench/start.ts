import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { top } from "../../scripts/house/tree.ts";
import { startDaggerServer } from "../contract/engine/dagger-server/server.ts";
import { makeHostTools } from "../contract/engine/host-tools.ts";
import { VmError } from "../vm/errors.ts";
import { type Budget, type Figure, notMeasured } from "./figure.ts";

const run = promisify(execFile);
const CHILD = join(import.meta.dirname, "start-child.ts");

/** Best of several, after one that only warms up. */
const ROUNDS = 5;

interface Measured {
  readonly beforeMs: number;
  readonly ms: number;
  readonly cpuMs: number;
}

/** @throws VmError HARNESS_TOOL_FAILED */
async function measure(...args: readonly string[]): Promise<Measured> {
  const all: Measured[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const { stdout } = await run(process.execPath, [CHILD, ...args], { cwd: top }).catch((error: Error & { stderr?: string }) => {
      const actual = (error.stderr ?? error.message).trim().slice(-500);
      throw new VmError("HARNESS_TOOL_FAILED", { expected: `start-child ${args[0]} to measure`, actual });
    });
    if (round > 0) all.push(JSON.parse(stdout) as Measured);
  }
  return all.reduce((a, b) => (b.ms < a.ms ? b : a));
}

async function figureOf(id: string, title: string, limit: number, what: string, args: readonly string[]): Promise<Figure> {
  const budget: Budget = { limit, kind: "at most" };
  try {
    const { ms, beforeMs, cpuMs } = await measure(...args);
    const parts = [
      { name: "Node and modules, not counted", value: beforeMs / 1000 },
      { name: what, value: ms / 1000 },
      { name: "processor time in it: what it takes on a quiet machine", value: cpuMs / 1000 },
    ];
    return { id, title, unit: "s", value: ms / 1000, budget, parts };
  } catch (error) {
    return notMeasured({ id, title, unit: "s", budget }, error);
  }
}

/** Reading recipe, lock, keys and sources and making the plan, of each recipe. */
export async function measurePlans(): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  const files = readdirSync(join(top, "recipes")).filter((file) => file.endsWith(".yaml"));
  for (const name of files.map((file) => basename(file, ".yaml")).sort())
    figures.push(await figureOf(`plan.${name}`, `plan of ${name}`, 0.3, "the plan", ["plan", name]));
  return figures;
}

/** From the call of an engine to the first step that runs, everything else being in the cache. */
export async function measureStarts(): Promise<readonly Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), "secai-bench-start-"));
  const server = await startDaggerServer();
  try {
    for (const name of ["local", "dagger/tools"]) await mkdir(join(folder, name), { recursive: true });
    await makeHostTools(join(folder, "dagger", "tools"));
    const local = ["local", join(folder, "local")];
    const dagger = ["dagger", join(folder, "dagger"), String(server.port), server.token];
    return [
      await figureOf("start.local", "local engine, to the first step that runs", 0.5, "cache, sandbox", local),
      await figureOf("start.dagger", "Dagger engine, over a ready session", 2, "SDK, session, proof of the sandbox", dagger),
    ];
  } finally {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}
