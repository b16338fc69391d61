import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CodedError } from "../../attest/formats/errors.ts";
import { VmError } from "./errors.ts";
import { loadRelease } from "./release.ts";
import { exitStatusOf, junitXml, resultLine, summaryLine } from "./report.ts";
import { runSuite, type Scenario } from "./suite.ts";

const HELP = `Options:
  --release DIR    the release to test (default: the only one below out/debian-13)
  --tool-root DIR  root file system with QEMU, swtpm, mtools, ... (default: $SECAI_TOOL_ROOT)
  --keys DIR       private keys of the release's maker, for tests that sign an update (default: $SECAI_KEYS, or
                   $XDG_DATA_HOME/secai/keys)
  --only ID        only this scenario, or those that begin with "ID."; may be repeated
  --smoke          the quick subset
  --short          all but what takes minutes by itself
  --list           print the scenarios and stop
  --json FILE      results as JSON
  --junit FILE     results as JUnit XML
  --keep           keep the run directory`;

interface SuiteArguments {
  readonly release: string;
  readonly toolRoot: string;
  readonly keys: string;
  readonly only: readonly string[];
  readonly smoke: boolean;
  readonly short: boolean;
  readonly list: boolean;
  readonly json: string | undefined;
  readonly junit: string | undefined;
  readonly keep: boolean;
}

/** The main program of a suite. Ends the process: 0 passed, 1 failed, 2 wrong use, 3 the bench failed, 70 our bug. */
export async function suiteMain(name: string, scenarios: readonly Scenario[]): Promise<void> {
  try {
    process.exitCode = await runMain(name, scenarios, process.argv.slice(2));
  } catch (error) {
    console.error(error instanceof CodedError ? `${error.message}\n${error.fix}` : error);
    process.exitCode = error instanceof CodedError ? error.exit : 70;
  }
}

async function runMain(name: string, all: readonly Scenario[], argv: readonly string[]): Promise<number> {
  if (argv.includes("--help")) {
    console.log(`${name}: tests a release in virtual machines.\n${HELP}`);
    return 0;
  }
  const options = parseSuiteArguments(argv, process.env);
  const scenarios = chooseScenarios(all, options);
  if (options.list) {
    for (const { id, needs, title } of scenarios) console.log(`${id.padEnd(36)} ${needs.padEnd(10)} ${title}`);
    return 0;
  }
  const release = loadRelease(options.release === "" ? onlyRelease() : options.release);
  const report = await runSuite({
    ...{
      name,
      scenarios,
      release,
      toolRoot: options.toolRoot,
      keyring: options.keys,
      keep: options.keep,
    },
    onBench: ({ accelerator, dir }) =>
      console.log(`${name}: ${scenarios.length} scenarios, accelerator ${accelerator}, run directory ${dir}`),
    onResult: (result) => console.log(resultLine(result)),
  });
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (options.junit !== undefined) writeFileSync(options.junit, junitXml(report));
  console.log(`${name}: ${(report.durationMs / 1000).toFixed(1)} s`);
  console.log(summaryLine(report));
  return exitStatusOf(report);
}

/** @throws VmError SUITE_USAGE */
export function parseSuiteArguments(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): SuiteArguments {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        ...{ release: text, "tool-root": text, keys: text, json: text, junit: text },
        ...{ only: { type: "string", multiple: true, default: [] }, smoke: flag, short: flag, list: flag, keep: flag },
      },
    });
    const toolRoot = values["tool-root"] ?? env.SECAI_TOOL_ROOT ?? "";
    if (toolRoot === "" && values.list !== true) throw new Error("--tool-root or SECAI_TOOL_ROOT is needed");
    return {
      ...{ release: values.release ?? "", toolRoot, keys: values.keys ?? defaultKeyring(env), only: values.only ?? [] },
      ...{
        smoke: values.smoke === true,
        short: values.short === true,
        list: values.list === true,
        keep: values.keep === true,
        json: values.json,
        junit: values.junit,
      },
    };
  } catch (cause) {
    throw new VmError("SUITE_USAGE", { expected: "the options that --help names", actual: (cause as Error).message, cause });
  }
}

function defaultKeyring(env: Readonly<Record<string, string | undefined>>): string {
  return env.SECAI_KEYS ?? join(env.XDG_DATA_HOME ?? join(env.HOME ?? "/root", ".local/share"), "secai/keys");
}

/** @throws VmError SUITE_USAGE when nothing is left */
export function chooseScenarios(
  all: readonly Scenario[],
  { only, smoke, short }: Pick<SuiteArguments, "only" | "smoke" | "short">,
): readonly Scenario[] {
  const wanted = (id: string): boolean => only.length === 0 || only.some((name) => id === name || id.startsWith(`${name}.`));
  const chosen = all
    .filter(({ id }) => wanted(id))
    .filter((scenario) => (!smoke || scenario.smoke === true) && (!short || scenario.long !== true));
  if (chosen.length === 0) throw new VmError("SUITE_USAGE", { expected: "a scenario that --list names", actual: only.join(" ") });
  return chosen;
}

/** @throws VmError SUITE_USAGE */
function onlyRelease(): string {
  const base = "out/debian-13";
  const found = existsSync(base) ? readdirSync(base).filter((version) => existsSync(join(base, version, "ROOT_HASH"))) : [];
  const [version] = found;
  if (version !== undefined && found.length === 1) return join(base, version);
  throw new VmError("SUITE_USAGE", {
    expected: "--release DIR, or one release below out/debian-13",
    actual: `${found.length} of them`,
  });
}
