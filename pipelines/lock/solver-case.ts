import { compareText } from "./lock.ts";

// The solver is asked and answers in libsolv's text form of test cases (testsolv(1)): plain lines, the same for the same question.

export interface SolverQuestion {
  /** Files in libsolv's own format, by their names beside the case. */
  readonly system: string;
  readonly repositories: readonly { readonly name: string; readonly solv: string }[];
  readonly architecture: string;
  readonly install: readonly string[];
  readonly remove: readonly string[];
}

export interface ChosenRpm {
  readonly name: string;
  readonly epoch: number;
  readonly version: string;
  readonly release: string;
  readonly arch: string;
}

export interface Solution {
  /** In words of the solver; with any of them the rest means nothing. */
  readonly problems: readonly string[];
  /** Sorted by name. */
  readonly install: readonly (ChosenRpm & { readonly repository: string })[];
  /** Names, sorted. */
  readonly erase: readonly string[];
}

/** Recommendations are not followed: what the image needs stands in the recipe. */
export function solverCase({ system, repositories, architecture, install, remove }: SolverQuestion): string {
  return [
    `repo @System 0 solv ${system}`,
    ...repositories.map(({ name, solv }) => `repo ${name} 0 solv ${solv}`),
    `system ${architecture} rpm @System`,
    "solverflags ignorerecommended",
    ...install.map((name) => `job install name ${name}`),
    ...remove.map((name) => `job erase name ${name}`),
    "",
  ].join("\n");
}

const NEVRA =
  /^(?<name>[A-Za-z0-9][A-Za-z0-9+._-]*)-(?:(?<epoch>\d{1,10}):)?(?<version>[^-:@\s]+)-(?<release>[^-:@\s]+)\.(?<arch>[a-z0-9_]+)$/;

function parseNevra(text: string): ChosenRpm {
  const found = NEVRA.exec(text)?.groups;
  if (found === undefined) throw new Error(`the solver named ${JSON.stringify(text.slice(0, 120))}`);
  const { name = "", epoch = "0", version = "", release = "", arch = "" } = found;
  return { name, epoch: Number(epoch), version, release, arch };
}

/** Tells packages of one repository apart. */
export function rpmKey({ name, epoch, version, release, arch }: ChosenRpm): string {
  return `${name}-${epoch}:${version}-${release}.${arch}`;
}

/** "want-1:2-1.fc42.x86_64@fedora" -> what and where */
function split(word: string): readonly [nevra: string, repository: string] {
  const at = word.indexOf("@");
  return [word.slice(0, at), word.slice(at + 1)];
}

/**
 * A package of the base may become a newer one where something needs that; a solution that would take one along, or put an older in its
 * place, is a problem.
 * @param remove what was asked to go; each must have been there
 * @throws Error for an answer that is not understood
 */
export function parseSolution(text: string, remove: readonly string[]): Solution {
  const problems: string[] = [];
  const install: (ChosenRpm & { readonly repository: string })[] = [];
  const erase: string[] = [];
  for (const line of text.split("\n")) {
    const [verb = "", first = "", ...rest] = line.trim().split(" ");
    if (verb === "") continue;
    if (verb === "install") {
      const [nevra, repository] = split(first);
      install.push({ ...parseNevra(nevra), repository });
    } else if (verb === "erase") {
      const { name } = parseNevra(split(first)[0]);
      if (!remove.includes(name)) problems.push(`${name} of the base would have to go`);
      erase.push(name);
    } else if (verb === "upgrade") {
      // A newer version that something asked for needs; the lock names it like any other.
      const [nevra, repository] = split(rest.join(" "));
      install.push({ ...parseNevra(nevra), repository });
    } else if (["downgrade", "change", "reinstall", "obsoleted"].includes(verb)) {
      problems.push(`${split(first)[0]} of the base would become another: ${rest.join(" ")}`);
    } else if (verb === "problem") {
      if (rest[0] === "info") problems.push(rest.slice(1).join(" "));
    } else throw new Error(`the solver answered ${JSON.stringify(line.slice(0, 120))}`);
  }
  if (problems.length === 0)
    for (const name of remove)
      if (!erase.includes(name)) problems.push(`remove.packages names ${name}, which the base does not have`);
  const byName = install.sort((a, b) => compareText(a.name, b.name) || compareText(a.arch, b.arch));
  return { problems, install: byName, erase: erase.sort(compareText) };
}
