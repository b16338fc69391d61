import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Catalogue, CatalogueEntry } from "@secai/formats/errors";
import { readRepositoryFile, repositoryFiles, top } from "./tree.ts";

/** One catalogue of the code: the file it stands in, the name of its export, its entries. */
export interface FoundCatalogue {
  readonly path: string;
  readonly name: string;
  readonly entries: Catalogue;
}

export interface CatalogueRow extends CatalogueEntry {
  readonly code: string;
}

const statuses: readonly unknown[] = [1, 2, 3, 70];

function isEntry(value: unknown): value is CatalogueEntry {
  const { exit, meaning, fix } = Object(value) as Record<string, unknown>;
  return statuses.includes(exit) && typeof meaning === "string" && typeof fix === "string";
}

function isCatalogue(value: unknown): value is Catalogue {
  return typeof value === "object" && value !== null && Object.values(value).every(isEntry);
}

/** Every exported `...Errors` object of every errors.ts and ...-errors.ts, sorted by path and name. */
export async function findCatalogues(): Promise<readonly FoundCatalogue[]> {
  const paths = repositoryFiles().filter((path) => /(^|[/-])errors\.ts$/.test(path));
  const found: FoundCatalogue[] = [];
  for (const path of paths) {
    const module: Record<string, unknown> = await import(pathToFileURL(join(top, path)).href);
    for (const [name, entries] of Object.entries(module).sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (/Errors$/.test(name) && isCatalogue(entries)) found.push({ path, name, entries });
    }
  }
  return found;
}

const head = `# Errors

Every error that SecAI OS raises on purpose has a code. The codes are part of the interface: a released code keeps its meaning and is
never given another. This page is written from the catalogues in the code by \`node scripts/setup.mjs scripts/errors-doc.ts --write\`, and
a test compares the two.

| exit status | meaning |
|---|---|
| 0 | accepted |
| 1 | rejected: the evidence is complete and says no |
| 2 | wrong use: flags, configuration, an unreadable policy |
| 3 | undecided: evidence missing, network or virtual machine unavailable |
| 70 | a bug of ours |
`;

const cell = (text: string): string => text.replaceAll("|", "\\|");

function section({ path, entries }: FoundCatalogue): string {
  const rows = Object.entries(entries)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { exit, meaning, fix }]) => `| \`${code}\` | ${exit} | ${cell(meaning)} | ${cell(fix)} |`);
  return [`## ${path}`, "", "| code | exit | meaning | fix |", "|---|---|---|---|", ...rows, ""].join("\n");
}

/** docs/errors.md, whole. */
export function cataloguePage(catalogues: readonly FoundCatalogue[]): string {
  return [head, ...catalogues.map(section)].join("\n");
}

const ROW = /^\| `(?<code>[A-Z0-9_]+)` \| (?<exit>\d+) \| (?<meaning>(?:[^|]|\\\|)*) \| (?<fix>(?:[^|]|\\\|)*) \|$/;

/** The rows of docs/errors.md. A line that looks like a row and is none of them is returned as malformed. */
export function parseCataloguePage(text: string): {
  readonly rows: readonly CatalogueRow[];
  readonly malformed: readonly string[];
} {
  const rows: CatalogueRow[] = [];
  const malformed: string[] = [];
  for (const line of text.split("\n").filter((candidate) => /^\|\s*`/.test(candidate))) {
    const groups = ROW.exec(line)?.groups;
    const row = { exit: Number(groups?.exit), meaning: groups?.meaning, fix: groups?.fix };
    if (groups?.code === undefined || !isEntry(row)) malformed.push(line);
    else
      rows.push({
        code: groups.code,
        exit: row.exit,
        meaning: row.meaning.replaceAll("\\|", "|"),
        fix: row.fix.replaceAll("\\|", "|"),
      });
  }
  return { rows, malformed };
}

/** Codes that no source file names as a string: nobody can meet them. A catalogue's own keys are not strings. */
export function unusedCodes(catalogues: readonly FoundCatalogue[]): readonly string[] {
  const sources = repositoryFiles().filter((path) => /\.(ts|mjs)$/.test(path) && !path.endsWith(".test.ts"));
  const text = sources.map(readRepositoryFile).join("\n");
  return catalogues.flatMap(({ path, entries }) =>
    Object.keys(entries)
      .filter((code) => !text.includes(`"${code}"`))
      .map((code) => `${path}: ${code}`),
  );
}
