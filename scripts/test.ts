// `test.ts RING`: runs a ring of suites, adds up what they report and ends with "N passed, N failed, N skipped".
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failedSuite, parseSuiteResult, type SuiteResult, summaryLine, sumOf, withExitStatus } from "./house/suites.ts";
import { top } from "./house/tree.ts";

/** A stage either prepares (a failure of it fails every later stage that needs it) or is a suite that writes a result file. */
interface Stage {
  readonly name: string;
  readonly kind: "prepare" | "suite";
  readonly needs: readonly string[];
  argv(resultFile: string): readonly string[];
}

const vitest = (project: string, needs: readonly string[]): Stage => ({
  name: project,
  kind: "suite",
  needs,
  argv: () => [
    ...["node_modules/vitest/vitest.mjs", "run", "--project", project],
    ...["--reporter=default", "--reporter=./scripts/house/vitest-reporter.ts"],
  ],
});
const program = (name: string, path: string, needs: readonly string[] = []): Stage => ({
  name,
  kind: "suite",
  needs,
  argv: (resultFile) => [path, "--json", resultFile],
});

const lint = program("lint", "scripts/lint.ts");
const unit = vitest("unit", []);
const tools: Stage = {
  name: "tools",
  kind: "prepare",
  needs: [],
  argv: () => ["scripts/secai.ts", "tools", "machine", "--path"],
};
/** Headers and compiler for kernel modules, which only the recipe for GPUs has. */
const modules: Stage = {
  name: "modules",
  kind: "prepare",
  needs: [],
  argv: () => ["scripts/secai.ts", "tools", "modules", "--recipe", "debian-13-gpu", "--path"],
};
/** What images are made with: the image needs it anyway. */
const build: Stage = { name: "build", kind: "prepare", needs: [], argv: () => ["scripts/secai.ts", "tools", "build", "--path"] };
const contract = vitest("contract", ["tools", "modules", "build"]);
const image: Stage = {
  name: "image",
  kind: "prepare",
  needs: [],
  argv: () => ["scripts/secai.ts", "image", "debian-13", "--all-media"],
};
const reproducible = program("reproducible", "test/reproducible/main.ts", ["image"]);
const acceptance = program("acceptance", "test/acceptance/main.ts", ["tools", "image"]);
const adversarial = program("adversarial", "test/adversarial/main.ts", ["tools", "image"]);
const media = program("media", "test/media/main.ts", ["tools", "image"]);
/** The attacks that need no boot of their own, and a few that do: the whole suite takes its time and is `make adversarial`. */
const adversarialSmoke: Stage = { ...adversarial, argv: (resultFile) => [...adversarial.argv(resultFile), "--smoke"] };

/** Without what takes minutes by itself; the whole suite is `make acceptance`. */
const acceptanceShort: Stage = { ...acceptance, argv: (resultFile) => [...acceptance.argv(resultFile), "--short"] };

const rings: Readonly<Record<string, readonly Stage[]>> = {
  all: [lint, unit, tools, modules, build, contract, image, reproducible, acceptanceShort, media, adversarialSmoke],
  unit: [unit],
  contract: [tools, modules, build, contract],
  acceptance: [tools, image, acceptance],
  adversarial: [tools, image, adversarial],
  media: [tools, image, media],
  reproducible: [image, reproducible],
};

/** Variables in which the suites find what a preparation printed. */
const HANDED_ON: Readonly<Record<string, string>> = {
  tools: "SECAI_TOOL_ROOT",
  modules: "SECAI_MODULES_ROOT",
  build: "SECAI_BUILD_ROOT",
};

/** Runs a preparation; the path of a tool root is printed by it and handed on to the suites. */
function prepare(stage: Stage): boolean {
  const variable = HANDED_ON[stage.name];
  const captured = variable !== undefined;
  const stdout = captured ? "pipe" : "inherit";
  const child = spawnSync(process.execPath, stage.argv(""), { cwd: top, stdio: ["ignore", stdout, "inherit"], encoding: "utf8" });
  const path = captured ? (child.stdout ?? "").trim().split("\n").at(-1) : undefined;
  if (variable !== undefined && path !== undefined && path !== "") process.env[variable] = path;
  return child.status === 0 && path !== "";
}

function runSuite(stage: Stage, resultFile: string): SuiteResult {
  const env = { ...process.env, SECAI_TEST_RESULT: resultFile };
  const child = spawnSync(process.execPath, stage.argv(resultFile), { cwd: top, stdio: ["ignore", "inherit", "inherit"], env });
  const status = child.status ?? 70;
  try {
    return withExitStatus(stage.name, parseSuiteResult(stage.name, readFileSync(resultFile, "utf8")), status);
  } catch {
    return failedSuite(`${stage.name}: ended with status ${status} and wrote no result`);
  }
}

function runRing(stages: readonly Stage[], scratch: string): SuiteResult {
  const results: SuiteResult[] = [];
  const unready = new Set<string>();
  for (const stage of stages) {
    const missing = stage.needs.find((need) => unready.has(need));
    const started = performance.now();
    console.log(`== ${stage.name}: node ${stage.argv("RESULT").join(" ")}`);
    if (missing !== undefined) results.push(failedSuite(`${stage.name}: not run, because ${missing} failed`));
    else if (stage.kind === "suite") results.push(runSuite(stage, join(scratch, `${stage.name}.json`)));
    else if (!prepare(stage)) {
      unready.add(stage.name);
      results.push(failedSuite(`${stage.name}: could not be made`));
    }
    console.log(`== ${stage.name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  return sumOf(results);
}

const stages = rings[process.argv[2] ?? ""];
if (stages === undefined || process.argv.length !== 3) {
  console.error(`use: test.ts ${Object.keys(rings).join("|")}`);
  process.exit(2);
}
const scratch = mkdtempSync(join(tmpdir(), "secai-test-"));
const sum = runRing(stages, scratch);
rmSync(scratch, { recursive: true });
for (const { name, reason } of sum.skips) console.log(`skipped: ${name}: ${reason}`);
for (const line of sum.failures) console.log(`failed: ${line}`);
console.log(summaryLine(sum));
process.exitCode = sum.failures.length === 0 ? 0 : 1;
