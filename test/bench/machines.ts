import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { top } from "../../scripts/house/tree.ts";
import { VmError } from "../vm/errors.ts";
import type { SuiteReport } from "../vm/report.ts";
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

/** Scenarios that run on a fork of their own, as the suite lists them. */
function forkScenarios(env: NodeJS.ProcessEnv): readonly string[] {
  const rows = node([SUITE, "--list"], env)
    .stdout.split("\n")
    .map((line) => line.split(/\s+/));
  return rows.filter(([, needs]) => needs === "fork").map(([id]) => id ?? "");
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
    const only = [BOOT, ...forks].flatMap((id) => ["--only", id]);
    node([SUITE, "--release", release, "--json", file, ...only], env);
    return figuresOf(JSON.parse(readFileSync(file, "utf8")) as SuiteReport, new Set(forks));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function figuresOf({ scenarios, accelerator }: SuiteReport, forks: ReadonlySet<string>): readonly Figure[] {
  const first = scenarios.find(({ id }) => id === BOOT);
  const ran = scenarios.filter(({ id, outcome }) => forks.has(id) && (outcome === "passed" || outcome === "failed"));
  if (first === undefined) throw new VmError("HARNESS_TOOL_FAILED", { expected: `scenario ${BOOT}`, actual: "not run" });
  const boot: Figure = {
    id: "boot.first",
    title: `first boot to everything healthy, ${accelerator}`,
    unit: "s",
    budget: { limit: 75, kind: "at most" },
  };
  const rate: Figure = {
    id: "suites.forks",
    title: `scenarios on forks, ${accelerator}`,
    unit: "per minute",
    budget: { limit: 15, kind: "at least" },
  };
  const { runningMs, agentMs } = first.measures;
  const minutes = ran.reduce((sum, { durationMs }) => sum + durationMs, 0) / 60_000;
  return [
    runningMs === undefined
      ? { ...boot, reason: first.message ?? "the machine did not come up" }
      : { ...boot, value: runningMs / 1000, parts: [{ name: "power on to the first command", value: (agentMs ?? 0) / 1000 }] },
    ran.length === 0
      ? { ...rate, reason: "no scenario ran" }
      : {
          ...rate,
          value: ran.length / minutes,
          parts: [
            { name: `scenarios, of them ${ran.filter(({ outcome }) => outcome === "failed").length} failed`, value: ran.length },
          ],
        },
  ];
}
