// `control-matrix.ts`: docs/control-matrix.md and the timeline in docs/evidence, from controls, suites and signed test results.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CodedError } from "@secai/formats/errors";
import { parsePublicKey } from "@secai/formats/keys";
import { parseControls } from "./house/controls/controls.ts";
import { ControlError } from "./house/controls/errors.ts";
import { type Evidence, loadEvidence, loadRecorded, record, requireImageOf, withReports } from "./house/controls/evidence.ts";
import { matrixPage } from "./house/controls/matrix.ts";
import { listScenarios } from "./house/controls/scenarios.ts";
import { timelinePage } from "./house/controls/timeline.ts";
import { readRepositoryFile, top } from "./house/tree.ts";

const EVIDENCE = join(top, "docs/evidence");

const HELP = `control-matrix.ts [--write | --check | --record DIR --key PEM | --results DIR --key PEM]: which signed test result shows which control

Without an option it prints docs/control-matrix.md as docs/controls.yaml, the suites and docs/evidence would have it.

  --write         write docs/control-matrix.md and docs/evidence/enforcement-story.md
  --check         compare the two with what would be written
  --record DIR    verify the signed test results of the release directory DIR, keep them in docs/evidence, and write the pages
  --results DIR   print the matrix with the results of DIR instead, and keep nothing
  --key PEM       the public key that must have signed DIR's statements
  --report FILE   what a suite wrote with --json in the run that was attested; may be repeated; the timeline needs acceptance's
  --help

Exit status: 0 done, 1 a statement, report or page is refused, 2 wrong use or mistakes in docs/controls.yaml, 3 evidence is missing.

Examples:
  node scripts/control-matrix.ts --check
  node scripts/control-matrix.ts --results out/debian-13/0.1.0 --key release.pub
  node scripts/control-matrix.ts --record out/debian-13/0.1.0 --key release.pub --report test-results/acceptance.json
`;

/** @throws ControlError CONTROLS_USAGE */
function optionsFrom(argv: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        ...{ write: flag, check: flag, help: flag, record: text, results: text, key: text },
        report: { type: "string", multiple: true, default: [] },
      },
    });
    const { write, check, key, report } = values;
    const release = values.record ?? values.results;
    const modes = [write, check, values.record !== undefined, values.results !== undefined].filter(Boolean).length;
    if (modes > 1) throw new Error("more than one of --write, --check, --record and --results");
    if ((release === undefined) !== (key === undefined)) throw new Error("--key goes with --record or --results");
    if (release === undefined && report.length > 0) throw new Error("--report goes with --record or --results");
    return { ...values, release };
  } catch (cause) {
    throw new ControlError("CONTROLS_USAGE", {
      expected: "the options that --help names",
      actual: (cause as Error).message,
      cause,
    });
  }
}

/** @throws ControlError CONTROLS_USAGE */
function readGiven(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ControlError("CONTROLS_USAGE", { expected: "a file that can be read", actual: path, cause });
  }
}

/** Verified results of a release directory, held against the image in it. @throws ControlError, FormatError */
async function evidenceOf(dir: string, pem: Buffer, reports: readonly string[]): Promise<Evidence> {
  const evidence = withReports(await loadEvidence(dir, parsePublicKey(pem)), reports.map(readGiven));
  await requireImageOf(dir, evidence);
  return evidence;
}

/** The generated pages by their path. @throws ControlError */
async function pagesOf(evidence: Evidence | undefined): Promise<Readonly<Record<string, string>>> {
  const controls = parseControls(readRepositoryFile("docs/controls.yaml"), (path) => existsSync(join(top, path)));
  const scenarios = await listScenarios(top);
  return {
    "docs/control-matrix.md": matrixPage(controls, scenarios, evidence),
    "docs/evidence/enforcement-story.md": timelinePage(controls.timeline, scenarios, evidence),
  };
}

/** @throws ControlError CONTROL_PAGES_STALE */
function requireSame(pages: Readonly<Record<string, string>>): void {
  const stale = Object.keys(pages).filter((path) => !existsSync(join(top, path)) || readRepositoryFile(path) !== pages[path]);
  if (stale.length > 0)
    throw new ControlError("CONTROL_PAGES_STALE", { expected: "pages as generated", actual: stale.join(", ") });
}

async function run(argv: readonly string[]): Promise<void> {
  const options = optionsFrom(argv);
  if (options.help) return void process.stdout.write(HELP);
  const pem = options.key === undefined ? undefined : readGiven(options.key);
  const { release } = options;
  const evidence =
    release === undefined || pem === undefined
      ? await loadRecorded(EVIDENCE)
      : await evidenceOf(resolve(release), pem, options.report);
  const pages = await pagesOf(evidence);
  if (options.check) return requireSame(pages);
  if (options.record !== undefined && evidence !== undefined && pem !== undefined) await record(EVIDENCE, evidence, pem);
  if (options.write || options.record !== undefined)
    for (const [path, page] of Object.entries(pages)) writeFileSync(join(top, path), page);
  else process.stdout.write(pages["docs/control-matrix.md"] ?? "");
}

try {
  await run(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof CodedError ? `${error.message}\n${error.fix}` : error);
  process.exitCode = error instanceof CodedError ? error.exit : 70;
}
