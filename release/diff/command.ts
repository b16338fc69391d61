import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { parseArguments } from "../arguments.ts";
import { requireVerified, TRUST_HELP, trustOptions } from "../gate/gate.ts";
import type { ReleaseIo } from "../gate/io.ts";
import { compareReleases } from "./compare.ts";
import { DiffError } from "./errors.ts";
import { factsOf, type ReleaseDocuments } from "./facts.ts";
import { diffHtml } from "./html.ts";
import { loadDocuments } from "./load.ts";
import { buildDiffReport, type DiffReport, type Side } from "./report.ts";
import { diffText } from "./text.ts";

export const DIFF_HELP = `secai release diff A B: what differs between two release directories.

Packages, units, kernel arguments, files, ports, services, policies, firewall, sysctl, SBOM components, keys, channel, boot
measurements and every file with its size. Both releases are verified first.
  --json                the comparison on standard output (docs/schemas/release-diff.schema.json)
  --html FILE           one page that loads nothing from elsewhere
  --exit-code           exit 1 when they differ, 3 when a section could not be compared
  --unverified          compare without verifying; the output says so
  --help
${TRUST_HELP}

Examples:
  secai release diff out/debian-13/0.1.0 out/debian-13/0.2.0
  secai release diff old new --key release.pub --html changes.html
  secai release diff old new --json --exit-code
`;

const options = {
  ...trustOptions,
  json: { type: "boolean" },
  html: { type: "string" },
  "exit-code": { type: "boolean" },
  unverified: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** The `release diff` command. @throws DiffError, GateError, FormatError */
export async function runDiff(args: readonly string[], io: ReleaseIo): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    io.stdout(DIFF_HELP);
    return 0;
  }
  const [a, b, ...more] = positionals;
  if (a === undefined || b === undefined || more.length > 0)
    throw new DiffError("DIFF_USAGE", { expected: "two release directories", actual: `${positionals.length}` });
  if (values.unverified !== true) for (const dir of [a, b]) await requireVerified(dir, values, io.env);
  const report = await compareDirectories(a, b, values.unverified !== true);
  if (values.html !== undefined) await writePage(values.html, diffHtml(report));
  io.stdout(values.json === true ? `${JSON.stringify(report, undefined, 2)}\n` : diffText(report));
  return values["exit-code"] === true ? exitOf(report) : 0;
}

function parse(args: readonly string[]) {
  return parseArguments(args, options, (detail) => new DiffError("DIFF_USAGE", detail));
}

async function compareDirectories(a: string, b: string, verified: boolean): Promise<DiffReport> {
  const [first, second] = [await loadDocuments(a), await loadDocuments(b)];
  const comparison = compareReleases(factsOf(first), factsOf(second));
  return buildDiffReport({ ...comparison, verified, a: sideOf(a, first), b: sideOf(b, second) });
}

function sideOf(dir: string, { manifest }: ReleaseDocuments): Side {
  return { dir, recipe: manifest.recipe, version: manifest.tag, imageDigest: manifest.image.digest };
}

function exitOf({ rows, notCompared }: DiffReport): number {
  if (rows.length > 0) return 1;
  return notCompared.length > 0 ? 3 : 0;
}

async function writePage(path: string, html: string): Promise<void> {
  const partial = `${path}.${randomUUID()}.partial`;
  try {
    await writeFile(partial, html, { flag: "wx", mode: 0o644 });
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true });
    throw new DiffError("DIFF_NOT_WRITTEN", { expected: path, actual: (cause as Error).message, cause });
  }
}
