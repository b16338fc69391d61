import { SbomError } from "./errors.ts";
import type { InstalledPackage } from "./package.ts";
import type { RootFile } from "./root-files.ts";

/** What another reader saw, one line for each thing, in a spelling that both readers share. */
type Lines = readonly string[];

/** dpkg-query(1): every package of the database in folder `admindir`. */
export const dpkgQueryArguments = (admindir: string): readonly string[] => [
  `--admindir=${admindir}`,
  "--show",
  `--showformat=${["db:Status-Status", "Package", "Architecture", "Version"].map((field) => `\${${field}}`).join("\\t")}\\n`,
];

/** find(1): everything below `root` but directories; type, size, path and link target, ended by NUL. */
export const findArguments = (root: string): readonly string[] => [
  root,
  ...["-mindepth", "1", "-not", "-type", "d", "-printf", String.raw`%y\0%s\0/%P\0%l\0`],
];

const packageLine = (name: string, architecture: string, version: string) => `${name} ${version} ${architecture}`;

export function parseDpkgQuery(answer: string): Lines {
  const rows = answer.split("\n").map((line) => line.split("\t"));
  return rows.flatMap(([status, name = "", architecture = "", version = ""]) =>
    status === "installed" ? [packageLine(name, architecture, version)] : [],
  );
}

export function parseFind(answer: string): Lines {
  const fields = answer.split("\0");
  const count = Math.floor(fields.length / 4);
  return Array.from({ length: count }, (_, index) => {
    const [type = "", size = "", path = "", target = ""] = fields.slice(index * 4, index * 4 + 4);
    return fileLine(path, type === "f" ? `file of ${size} bytes` : type === "l" ? `link to ${target}` : "special");
  });
}

const fileLine = (path: string, what: string) => `${path}: ${what}`;

function ownFileLine(file: RootFile): string {
  switch (file.type) {
    case "file":
      return fileLine(file.path, `file of ${file.size} bytes`);
    case "link":
      return fileLine(file.path, `link to ${file.target}`);
    case "special":
      return fileLine(file.path, "special");
  }
}

/** Most differences that one message names. */
const MAX_NAMED = 10;

/** @throws SbomError SBOM_CROSSCHECK_DIFFERS */
function requireEqual(what: string, ours: Lines, theirs: Lines): void {
  const [own, other] = [new Set(ours), new Set(theirs)];
  const more = [...other].filter((line) => !own.has(line)).map((line) => `only the other: ${line}`);
  const less = [...own].filter((line) => !other.has(line)).map((line) => `only the SBOM: ${line}`);
  const differences = [...more, ...less];
  if (differences.length === 0 && ours.length === theirs.length) return;
  throw new SbomError("SBOM_CROSSCHECK_DIFFERS", {
    expected: `the same ${what}: ${ours.length} of the SBOM, ${theirs.length} of the other reader`,
    actual: differences.slice(0, MAX_NAMED).join("; ") || "the same names, in other numbers",
  });
}

/**
 * Compares what our own readers saw with what the tools of the tool root saw: names, versions, sizes, link targets and counts.
 * @returns properties that say so
 * @throws SbomError SBOM_CROSSCHECK_DIFFERS
 */
export function crossCheckFiles(files: readonly RootFile[], found: string): Readonly<Record<string, string>> {
  requireEqual("files", files.map(ownFileLine), parseFind(found));
  return { "crosscheck:files": `${files.length} by find, equal` };
}

/** As `crossCheckFiles`, for the packages of a dpkg database. @throws SbomError SBOM_CROSSCHECK_DIFFERS */
export function crossCheckPackages(packages: readonly InstalledPackage[], queried: string): Readonly<Record<string, string>> {
  const own = packages.map(({ name, architecture, version }) => packageLine(name, architecture, version));
  requireEqual("packages", own, parseDpkgQuery(queried));
  return { "crosscheck:packages": `${packages.length} by dpkg-query, equal` };
}
