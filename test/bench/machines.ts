import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { top } from "../../scripts/house/tree.ts";
import { VmError } from "../vm/errors.ts";
import type { ScenarioResult, SuiteReport } from "../vm/report.ts";
import { currentRelease } from "./current-release.ts";
import type { Figure } from "./figure.ts";

const SUITE = "test/acceptance/main.ts";
const BOOT = "boot.first";

function node(args: readonly string[], env: NodeJS.ProcessEnv = process.env): { status: number | null; stdout: string } {
  return spawnSync(process.execPath, [...args], {
    ...{ cwd: top, env, encoding: "utf8", maxBuffer: 64 << 20 },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** What scenarios start from, by id: a fork of their own, or one fork for all that only look. Those that boot are left out. */
function forkScenarios(env: NodeJS.ProcessEnv): ReadonlyMap<string, "fork" | "shared"> {
  const rows = node([SUITE, "--list"], env)
    .stdout.split("\n")
    .map((line) => line.split(/\s+/));
  return new Map(
    rows.flatMap(([id = "", needs]) => ((needs === "fork" || needs === "shared") && id !== BOOT ? [[id, needs]] : [])),
  );
}

/** First boot, and how fast scenarios go on forks of it. @throws VmError HARNESS_TOOL_FAILED when the suite has no result */
export async function measureMachines(): Promise<readonly Figure[]> {
  const release = await currentRelease();
  const toolRoot = node(["scripts/secai.ts", "tools", "machine", "--path"]).stdout.trim().split("\n").at(-1) ?? "";
  const env = { ...process.env, SECAI_TOOL_ROOT: toolRoot };
  const forks = forkScenarios(env);
  const scratch = mkdtempSync(join(tmpdir(), "secai-bench-"));
  try {
    const file = join(scratch, "report.json");
    const only = [BOOT, ...forks.keys()].flatMap((id) => ["--only", id]);
    node([SUITE, "--release", release, "--json", file, ...only], env);
    return figuresOf(JSON.parse(readFileSync(file, "utf8")) as SuiteReport, forks);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function figuresOf({ scenarios, accelerator }: SuiteReport, forks: ReadonlyMap<string, "fork" | "shared">): readonly Figure[] {
  const first = scenarios.find(({ id }) => id === BOOT);
  if (first === undefined) throw new VmError("HARNESS_TOOL_FAILED", { expected: `scenario ${BOOT}`, actual: "not run" });
  const { runningMs, agentMs } = first.measures;
  const boot: Figure = {
    id: "boot.first",
    title: `first boot to everything healthy, ${accelerator}`,
    unit: "s",
    budget: { limit: 75, kind: "at most" },
  };
  return [
    runningMs === undefined
      ? { ...boot, reason: first.message ?? "the machine did not come up" }
      : { ...boot, value: runningMs / 1000, parts: [{ name: "power on to the first command", value: (agentMs ?? 0) / 1000 }] },
    rateFigure(scenarios, forks, accelerator),
  ];
}

function rateFigure(
  scenarios: readonly ScenarioResult[],
  forks: ReadonlyMap<string, "fork" | "shared">,
  accelerator: string,
): Figure {
  const of = (kinds: readonly string[]) =>
    scenarios.filter(({ id, outcome }) => kinds.includes(forks.get(id) ?? "") && (outcome === "passed" || outcome === "failed"));
  const perMinute = (some: readonly ScenarioResult[]): number =>
    some.length / (some.reduce((sum, { durationMs }) => sum + durationMs, 0) / 60_000);
  const part = (name: string, some: readonly ScenarioResult[]) => ({
    name: `${some.length} ${name}, ${some.filter(({ outcome }) => outcome === "failed").length} of them failed`,
    value: perMinute(some),
  });
  const figure: Figure = {
    id: "suites.forks",
    title: `scenarios on forks, ${accelerator}`,
    unit: "per minute",
    budget: { limit: 15, kind: "at least" },
  };
  const all = of(["fork", "shared"]);
  if (all.length === 0) return { ...figure, reason: "no scenario ran" };
  const parts = [part("with a fork of their own", of(["fork"])), part("that only look, on one fork", of(["shared"]))];
  return { ...figure, value: perMinute(all), parts };
}
