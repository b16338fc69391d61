import type { Sha256 } from "@secai/formats/digest";

/** One package file, exactly. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Name of the archive, of which the recipe and the mirrors speak. */
  readonly archive: string;
  /** Below the archive's root. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Sha256;
}

/** The signed index files that packages were resolved from. */
export interface LockedSuite {
  /** Name of the archive. */
  readonly name: string;
  readonly suite: string;
  /** `date` in RFC 3339, as the archive's signers wrote it. */
  readonly inRelease: { readonly path: string; readonly sha256: Sha256; readonly date: string };
  /** Fingerprints of the primary keys whose signatures were good. */
  readonly signedBy: readonly string[];
  /** Digests of the uncompressed indexes. */
  readonly indexes: readonly { readonly path: string; readonly sha256: Sha256 }[];
}

export const rootNames = ["image", "build", "machine"] as const;
export type RootName = (typeof rootNames)[number];

/** What a recipe's packages were on one day, to the byte: for the image and for the two tool roots. */
export interface Lock {
  readonly schema: 1;
  /** Id of the recipe. */
  readonly recipe: string;
  readonly architecture: string;
  readonly archives: readonly LockedSuite[];
  /** What the recipe asked for, sorted: a lock is stale as soon as the recipe asks for something else. */
  readonly requested: Readonly<Record<RootName, readonly string[]>>;
  /** Each sorted by name; complete: every dependency, and every essential package with its dependencies. */
  readonly roots: Readonly<Record<RootName, readonly LockedPackage[]>>;
}

/** Text order by code units, the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function comparePackages(a: LockedPackage, b: LockedPackage): number {
  return compareText(a.name, b.name) || compareText(a.architecture, b.architecture);
}

/** Where the lock of a recipe lies, from the top of the repository. */
export function lockPath(recipeId: string): string {
  return `recipes/locks/${recipeId}.lock.json`;
}

/** The newest date of the archives, in seconds since 1970: nothing that was locked is younger. */
export function lockDate(lock: Lock): number {
  return Math.max(...lock.archives.map(({ inRelease }) => Date.parse(inRelease.date) / 1000));
}

function packageLine({ name, version, architecture, archive, path, size, sha256 }: LockedPackage): string {
  return JSON.stringify({ name, version, architecture, archive, path, size, sha256 });
}

/** The one text form of a lock: a package a line, so that a diff of two locks reads like a list of packages. */
export function formatLock({ schema, recipe, architecture, archives, requested, roots }: Lock): string {
  const suites = archives.map(({ name, suite, inRelease, signedBy, indexes }) => {
    const { path, sha256, date } = inRelease;
    return `    ${JSON.stringify({ name, suite, inRelease: { path, sha256, date }, signedBy, indexes })}`;
  });
  const asked = rootNames.map((root) => `    ${JSON.stringify(root)}: ${JSON.stringify(requested[root])}`);
  const lists = rootNames.map((root) => {
    const lines = roots[root].map((entry) => `      ${packageLine(entry)}`).join(",\n");
    return `    ${JSON.stringify(root)}: [\n${lines}\n    ]`;
  });
  return `{
  "schema": ${schema},
  "recipe": ${JSON.stringify(recipe)},
  "architecture": ${JSON.stringify(architecture)},
  "archives": [
${suites.join(",\n")}
  ],
  "requested": {
${asked.join(",\n")}
  },
  "roots": {
${lists.join(",\n")}
  }
}
`;
}
