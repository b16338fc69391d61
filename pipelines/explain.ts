import { PipelineError } from "./errors.ts";
import type { LockedPackage } from "./lock/lock.ts";
import type { Position } from "./recipe/mistake.ts";

/** What the last build knows of its packages: from the package database that the step `tree` puts out. */
export interface PackageFacts {
  readonly name: string;
  /** Names of packages it depends on, alternatives flattened. */
  readonly depends: readonly string[];
  /** Absolute paths of its files. */
  readonly files: ReadonlySet<string>;
}

export interface ExplainFacts {
  readonly packages: ReadonlyMap<string, PackageFacts>;
  readonly locked: ReadonlyMap<string, LockedPackage>;
  /** Packages that the recipe names, and where. */
  readonly requested: ReadonlyMap<string, Position>;
  /** Files of our overlays: path in the image → path in the repository. */
  readonly overlays: ReadonlyMap<string, string>;
  /** Bundles and generated files: path in the image → the step that made it. */
  readonly made: ReadonlyMap<string, string>;
}

export interface Explanation {
  readonly subject: string;
  readonly kind: "package" | "overlay" | "made";
  readonly step: string;
  readonly repositoryPath?: string;
  readonly locked?: LockedPackage;
  /** The line of the recipe that asks for it. */
  readonly recipe?: Position;
  /** From a package that the recipe names down to this one. */
  readonly because?: readonly string[];
}

/** Shortest chain of dependencies from a requested package to `name`, both ends included. */
function chainTo(name: string, facts: ExplainFacts): readonly string[] | undefined {
  const queue: (readonly string[])[] = [...facts.requested.keys()].sort().map((root) => [root]);
  const seen = new Set(facts.requested.keys());
  for (let chain = queue.shift(); chain !== undefined; chain = queue.shift()) {
    const last = chain.at(-1) ?? "";
    if (last === name) return chain;
    for (const next of facts.packages.get(last)?.depends ?? []) {
      if (seen.has(next) || !facts.packages.has(next)) continue;
      seen.add(next);
      queue.push([...chain, next]);
    }
  }
  return undefined;
}

function explainPackage(subject: string, name: string, facts: ExplainFacts): Explanation {
  const locked = facts.locked.get(name);
  const because = chainTo(name, facts);
  const recipe = facts.requested.get(because?.[0] ?? name);
  return {
    subject,
    kind: "package",
    step: "root.image",
    ...(locked === undefined ? {} : { locked }),
    ...(recipe === undefined ? {} : { recipe }),
    ...(because === undefined ? {} : { because }),
  };
}

/** dpkg lists some paths without the /usr of a merged system. */
const spellings = (path: string) => [path, path.replace(/^\/usr\/(bin|sbin|lib|lib64)\//, "/$1/")];

/**
 * Which step, recipe line and lock entry put a file or package into the image. Ours win over the distribution's, as in the image.
 * @throws PipelineError EXPLAIN_NOT_FOUND
 */
export function explain(query: string, facts: ExplainFacts): Explanation {
  const made = facts.made.get(query);
  if (made !== undefined) return { subject: query, kind: "made", step: made };
  const repositoryPath = facts.overlays.get(query);
  if (repositoryPath !== undefined) return { subject: query, kind: "overlay", step: "tree", repositoryPath };
  if (facts.packages.has(query)) return explainPackage(query, query, facts);
  const owner = [...facts.packages.values()].find(({ files }) => spellings(query).some((path) => files.has(path)));
  if (owner !== undefined) return explainPackage(query, owner.name, facts);
  throw new PipelineError("EXPLAIN_NOT_FOUND", { expected: "a path or package of the image", actual: query });
}

export function explanationText(explanation: Explanation): string {
  const { subject, kind, step, repositoryPath, locked, recipe, because } = explanation;
  const lines = [`${subject}`, `  step      ${step}`];
  if (kind === "overlay") lines.push(`  overlay   ${repositoryPath}`);
  if (locked !== undefined) {
    lines.push(
      `  package   ${locked.name} ${locked.version} ${locked.architecture}`,
      `  lock      ${locked.path}`,
      `  sha256    ${locked.sha256}`,
    );
  }
  if (because !== undefined && because.length > 1) lines.push(`  because   ${because.join(" → ")}`);
  if (recipe !== undefined) lines.push(`  recipe    ${recipe.file}:${recipe.line}:${recipe.column}`);
  else if (kind === "package") lines.push("  recipe    not named: an essential package of the distribution");
  return `${lines.join("\n")}\n`;
}
