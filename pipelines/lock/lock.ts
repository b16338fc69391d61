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

/** "image", a tool root, or `extension.NAME` for what an extension brings beyond the image. */
export type RootName = string;

/** What every recipe has. */
export type Roots<T> = Readonly<Record<"image" | "build" | "machine", T>> & Readonly<Record<RootName, T>>;

/** One tarball of the npm registry, exactly. */
export interface LockedNpmPackage {
  readonly name: string;
  readonly version: string;
  /** Below the registry's root. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Sha256;
  /** What the registry says of it (Subresource Integrity, SHA-512): what the digest was checked against. */
  readonly integrity: string;
}

/** Of a fetch step: the registry that this machine's npm uses. */
export const NPM_ARCHIVE = "npm";

/** What a recipe's packages were on one day, to the byte: for the image, for its extensions and for the tool roots. */
export interface Lock {
  readonly schema: 1;
  /** Id of the recipe. */
  readonly recipe: string;
  /** Of the image and its extensions, and of the tool roots unless these have another. */
  readonly architecture: string;
  readonly toolArchitecture?: string;
  readonly archives: readonly LockedSuite[];
  /** What the recipe asked for, sorted: a lock is stale as soon as the recipe asks for something else. */
  readonly requested: Roots<readonly string[]>;
  /** Each sorted by name; complete: every dependency, and every essential package with its dependencies. */
  readonly roots: Roots<readonly LockedPackage[]>;
  /** Sorted by name; absent when the recipe asks for none. */
  readonly npm?: readonly LockedNpmPackage[];
}

/** Name of the lock's list for an extension. */
export const extensionRoot = (name: string): RootName => `extension.${name}`;

interface Architectures<Name extends string> {
  readonly architecture: Name;
  readonly toolArchitecture?: Name;
}

/** Everything that packages are needed for, the image's own first. */
export function architecturesOf<Name extends string>({
  architecture,
  toolArchitecture = architecture,
}: Architectures<Name>): readonly Name[] {
  return [...new Set([architecture, toolArchitecture])];
}

/** What the programs of a root run on. */
export function architectureOf<Name extends string>(
  { architecture, toolArchitecture = architecture }: Architectures<Name>,
  root: RootName,
): Name {
  return root === "image" || root.startsWith(extensionRoot("")) ? architecture : toolArchitecture;
}

/** The roots of a lock, in the order in which it has them. */
export const rootNames = ({ roots }: { readonly roots: Readonly<Record<RootName, unknown>> }): readonly RootName[] =>
  Object.keys(roots);

/** @throws TypeError for a root that the lock does not have: the lock was not checked against its recipe */
export function lockedRoot(
  { roots }: { readonly roots: Readonly<Record<RootName, readonly LockedPackage[]>> },
  root: RootName,
): readonly LockedPackage[] {
  const packages = roots[root];
  if (packages === undefined) throw new TypeError(`the lock has no root ${root}`);
  return packages;
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
export function lockDate(lock: Pick<Lock, "archives">): number {
  return Math.max(...lock.archives.map(({ inRelease }) => Date.parse(inRelease.date) / 1000));
}

export function packageLine({ name, version, architecture, archive, path, size, sha256 }: LockedPackage): string {
  return JSON.stringify({ name, version, architecture, archive, path, size, sha256 });
}

export function suiteLine({ name, suite, inRelease: { path, sha256, date }, signedBy, indexes }: LockedSuite): string {
  return JSON.stringify({ name, suite, inRelease: { path, sha256, date }, signedBy, indexes });
}

/** The one text form of a lock: a package a line, so that a diff of two locks reads like a list of packages. */
export function formatLock(lock: Lock): string {
  const { schema, recipe, architecture, toolArchitecture, archives, requested, npm = [] } = lock;
  const tools = toolArchitecture === undefined ? "" : `,\n  "toolArchitecture": ${JSON.stringify(toolArchitecture)}`;
  const suites = archives.map((suite) => `    ${suiteLine(suite)}`);
  const asked = rootNames(lock).map((root) => `    ${JSON.stringify(root)}: ${JSON.stringify(requested[root])}`);
  const lists = rootNames(lock).map((root) => {
    const lines = lockedRoot(lock, root).map((entry) => `      ${packageLine(entry)}`);
    return `    ${JSON.stringify(root)}: ${lines.length === 0 ? "[]" : `[\n${lines.join(",\n")}\n    ]`}`;
  });
  const tarballs = npm.map(({ name, version, path, size, sha256, integrity }) => {
    return `    ${JSON.stringify({ name, version, path, size, sha256, integrity })}`;
  });
  const npmText = npm.length === 0 ? "" : `,\n  "npm": [\n${tarballs.join(",\n")}\n  ]`;
  return `{
  "schema": ${schema},
  "recipe": ${JSON.stringify(recipe)},
  "architecture": ${JSON.stringify(architecture)}${tools},
  "archives": [
${suites.join(",\n")}
  ],
  "requested": {
${asked.join(",\n")}
  },
  "roots": {
${lists.join(",\n")}
  }${npmText}
}
`;
}
