// `make bench`: how fast and how large, against peers and limits measured in the same run. A missed budget does not fail the command.
import { mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CodedError } from "../../attest/formats/errors.ts";
import { top } from "../../scripts/house/tree.ts";
import { VmError } from "../vm/errors.ts";
import { measureCold, measureService, measureSize, measureUnchanged } from "./builds.ts";
import { measureDecide } from "./decide.ts";
import { buildBenchReport, type Figure, figureLines, withLoad } from "./figure.ts";
import { measureIncidents } from "./incidents.ts";
import { measureIntegritySweep } from "./integrity-sweep.ts";
import { measureMachines } from "./machines.ts";
import { measureSbom } from "./sbom.ts";
import { measurePlans, measureStarts } from "./start.ts";
import { measureVerify } from "./verifier.ts";

const measures: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  plan: measurePlans,
  start: measureStarts,
  unchanged: measureUnchanged,
  service: measureService,
  cold: measureCold,
  verify: measureVerify,
  sbom: measureSbom,
  size: measureSize,
  decide: measureDecide,
  incidents: measureIncidents,
  integrity: measureIntegritySweep,
  machines: measureMachines,
};

const HELP = `make bench

Measures builds, the verifier, sizes and virtual machines, each against a peer or a limit in the same run. Takes about ten minutes, and
as much disk as a second build. The machine should be quiet; its load is in the results. The checkout and its cache are not changed.

  --only NAMES  some of: ${Object.keys(measures).join(",")}
  --json FILE   results (default test-results/bench.json)

Exit status: 0 measured (budgets may be missed: the table says so), 2 wrong use, 3 something could not be measured at all.
`;

function parseArguments(argv: readonly string[]): { readonly only: readonly string[]; readonly json: string } | "help" {
  try {
    const options = { only: { type: "string" }, json: { type: "string" }, help: { type: "boolean" } } as const;
    const { values } = parseArgs({ args: [...argv], options });
    if (values.help === true) return "help";
    const only = values.only?.split(",") ?? Object.keys(measures);
    const unknown = only.filter((name) => !(name in measures));
    if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(", ")}`);
    return { only, json: resolve(values.json ?? join(top, "test-results/bench.json")) };
  } catch (cause) {
    throw new VmError("SUITE_USAGE", {
      expected: `--only with ${Object.keys(measures).join(",")}`,
      actual: (cause as Error).message,
    });
  }
}

/** One that cannot be measured does not take the others with it. */
async function measureAll(names: readonly string[]): Promise<{ figures: readonly Figure[]; faults: number }> {
  const figures: Figure[] = [];
  let faults = 0;
  for (const name of names) {
    console.log(`measuring: ${name} (load ${(loadavg()[0] ?? 0).toFixed(2)})`);
    try {
      figures.push(...(await withLoad(measures[name] ?? (async () => []))));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      console.error(`not measured: ${name}: ${error.message}\n  what to do: ${error.fix}`);
      faults += 1;
    }
  }
  return { figures, faults };
}

async function main(): Promise<number> {
  const options = parseArguments(process.argv.slice(2));
  if (options === "help") {
    process.stdout.write(HELP);
    return 0;
  }
  const startedOn = new Date().toISOString();
  const { figures, faults } = await measureAll(options.only);
  mkdirSync(dirname(options.json), { recursive: true });
  writeFileSync(options.json, `${JSON.stringify(buildBenchReport(startedOn, figures), undefined, 2)}\n`);
  for (const line of figureLines(figures)) console.log(line);
  console.log(
    `load ${loadavg()
      .map((value) => value.toFixed(2))
      .join(" ")}; results in ${options.json}`,
  );
  return faults === 0 ? 0 : 3;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof CodedError ? `${error.message}\n${error.fix}` : error);
  process.exitCode = error instanceof CodedError ? error.exit : 70;
}
