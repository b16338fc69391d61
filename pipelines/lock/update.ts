import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { FetchError } from "../fetch/errors.ts";
import { createHttpClient } from "../fetch/http.ts";
import type { Mirrors } from "../fetch/mirrors.ts";
import { nearest } from "../recipe/mistake.ts";
import { type Archive, type DebianBase, type DebianRecipe, debianBaseOf, type Recipe } from "../recipe/recipe.ts";
import { createPrivateApt, type PrivateApt } from "./apt.ts";
import { type ArchiveReader, readSuite, type VerifiedSuite } from "./archive.ts";
import { LockError } from "./errors.ts";
import {
  architectureOf,
  architecturesOf,
  comparePackages,
  compareText,
  extensionRoot,
  type Lock,
  type LockedPackage,
  type LockedSuite,
  NPM_ARCHIVE,
  type RootName,
  type Roots,
} from "./lock.ts";
import { lockNpmPackages } from "./npm.ts";
import type { IndexEntry } from "./packages-index.ts";
import { DEBIAN_KEYRING } from "./signature.ts";

export interface UpdateOptions {
  readonly mirrors: Mirrors;
  /** Keys of the archives; default: those of the package debian-archive-keyring. */
  readonly keyring?: string;
  /** Seconds since 1970; default: the clock. */
  readonly now?: number;
  readonly proxyEnv?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  /** Told what is being done, a line at a time. */
  readonly report?: (line: string) => void;
}

const sortedNames = (packages: readonly { readonly name: string }[]): string[] =>
  packages.map(({ name }) => name).sort(compareText);

/** What the recipe asks for in its tool roots, sorted. */
export function requestedTools({ toolRoots }: Recipe): Readonly<Record<RootName, readonly string[]>> {
  return Object.fromEntries(Object.entries(toolRoots).map(([root, packages]) => [root, sortedNames(packages)]));
}

/** What the recipe asks for in each root, sorted. */
export function requested(recipe: DebianRecipe): Roots<readonly string[]> {
  const { build, machine, ...others } = recipe.toolRoots;
  return {
    image: sortedNames(recipe.packages),
    build: sortedNames(build),
    machine: sortedNames(machine),
    ...Object.fromEntries(Object.entries(others).map(([root, packages]) => [root, sortedNames(packages)])),
    ...Object.fromEntries(recipe.extensions.map(({ name, packages }) => [extensionRoot(name), sortedNames(packages)])),
  };
}

/** Every Debian archive that has to be read for a recipe, and the registry of npm when it takes packages from there. */
export function archivesOf(recipe: Recipe): readonly string[] {
  return [...debianBaseOf(recipe).archives.map(({ name }) => name), ...(recipe.npm.length === 0 ? [] : [NPM_ARCHIVE])];
}

async function readFromFirst(
  reader: ArchiveReader,
  archive: Archive,
  suite: string,
  architecture: string,
  bases: readonly string[],
): Promise<VerifiedSuite> {
  let last: unknown = new FetchError("FETCH_MIRROR_UNKNOWN", { expected: `a mirror of "${archive.name}"`, actual: "none" });
  for (const base of bases) {
    try {
      return await readSuite(reader, archive, suite, architecture, base);
    } catch (error) {
      last = error;
      // Only a mirror that has nothing is passed over; one that has the wrong thing is told of.
      const passable =
        (error instanceof FetchError && error.exit === 3) ||
        (error instanceof LockError && error.code === "LOCK_ARCHIVE_MISSING");
      if (!passable) throw error;
    }
  }
  throw last;
}

/** Every suite of the archives, downloaded and checked. */
export async function readSuites(base: DebianBase, directory: string, options: UpdateOptions): Promise<readonly VerifiedSuite[]> {
  const { mirrors, keyring = DEBIAN_KEYRING, now = Math.floor(Date.now() / 1000), proxyEnv, signal, report } = options;
  const client = createHttpClient(proxyEnv === undefined ? {} : { proxyEnv });
  const reader: ArchiveReader = { client, keyring, directory, now, ...(signal === undefined ? {} : { signal }) };
  try {
    const suites: VerifiedSuite[] = [];
    for (const archive of base.archives) {
      for (const suite of archive.suites) {
        report?.(`reading ${archive.name} ${suite}`);
        suites.push(await readFromFirst(reader, archive, suite, base.architecture, mirrors[archive.name] ?? []));
      }
    }
    return suites;
  } finally {
    client.close();
  }
}

/** Packages of signed indexes, by name, version and architecture. */
export class PackageTable {
  readonly #entries = new Map<string, LockedPackage>();
  readonly #names = new Set<string>();
  readonly essential: readonly string[];

  constructor(suites: readonly VerifiedSuite[]) {
    const essential = new Set<string>();
    for (const { archive, indexes } of suites) {
      for (const entry of indexes.flatMap(({ entries }) => entries)) {
        this.#add(archive, entry);
        if (entry.essential) essential.add(entry.name);
      }
    }
    this.essential = [...essential].sort(compareText);
  }

  #add(archive: string, { essential: _, ...entry }: IndexEntry): void {
    const key = `${entry.name} ${entry.version} ${entry.architecture}`;
    // The first archive of the recipe wins where two have the same package.
    if (!this.#entries.has(key)) this.#entries.set(key, { ...entry, archive });
    this.#names.add(entry.name);
  }

  find({ name, version, architecture }: { readonly name: string; readonly version: string; readonly architecture: string }) {
    return this.#entries.get(`${name} ${version} ${architecture}`);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  nearest(name: string): string | undefined {
    return nearest(name, [...this.#names]);
  }
}

function checkKnown(table: PackageTable, names: readonly string[]): void {
  const unknown = [...new Set(names)].filter((name) => !table.has(name));
  if (unknown.length === 0) return;
  const actual = unknown.map((name) => {
    const meant = table.nearest(name);
    return meant === undefined ? name : `${name} (did you mean ${meant}?)`;
  });
  throw new LockError("LOCK_PACKAGE_UNKNOWN", { expected: "packages that the archives offer", actual: actual.join(", ") });
}

async function lockRoot(apt: PrivateApt, table: PackageTable, names: readonly string[]): Promise<readonly LockedPackage[]> {
  const chosen = await apt.resolve([...new Set([...table.essential, ...names])]);
  const locked = chosen.map((choice) => {
    const entry = table.find(choice);
    if (entry !== undefined) return entry;
    const actual = `apt chose ${choice.name} ${choice.version}`;
    throw new LockError("LOCK_UNRESOLVABLE", { expected: "a package of a signed index", actual });
  });
  return locked.sort(comparePackages);
}

/** What comes with an extension's packages and is not in the image. */
function beyond(image: readonly LockedPackage[], all: readonly LockedPackage[]): readonly LockedPackage[] {
  const there = new Set(image.map(({ sha256: digest }) => digest));
  return all.filter(({ sha256: digest }) => !there.has(digest));
}

export function lockSuite({ archive, suite, inRelease, signedBy, date, indexes }: VerifiedSuite): LockedSuite {
  return {
    name: archive,
    suite,
    inRelease: {
      path: inRelease.path,
      sha256: sha256(inRelease.bytes),
      date: new Date(date * 1000).toISOString().replace(".000Z", "Z"),
    },
    signedBy,
    indexes: indexes.map(({ path, sha256: digest }) => ({ path, sha256: digest })),
  };
}

/** Debian's archives as they are now, ready to be asked what goes together. */
export interface Resolver {
  readonly suites: readonly VerifiedSuite[];
  /** What `packages` need, themselves and every essential package included; sorted. @throws LockError LOCK_UNRESOLVABLE */
  lockRoot(packages: readonly string[]): Promise<readonly LockedPackage[]>;
}

/**
 * @param names everything that will be asked for, to tell at once what no archive offers
 * @throws LockError, FetchError
 */
export async function createResolver(
  base: DebianBase,
  names: readonly string[],
  directory: string,
  options: UpdateOptions,
): Promise<Resolver> {
  const suites = await readSuites(base, directory, options);
  const table = new PackageTable(suites);
  checkKnown(table, names);
  const apt = await createPrivateApt(directory, suites, base.architecture, options.keyring ?? DEBIAN_KEYRING);
  return { suites, lockRoot: (packages) => lockRoot(apt, table, packages) };
}

/** Resolves each root for what its programs run on. */
interface RootResolver {
  readonly archives: readonly LockedSuite[];
  lockRoot(root: RootName, packages: readonly string[]): Promise<readonly LockedPackage[]>;
}

async function createResolvers(
  base: DebianBase,
  names: Roots<readonly string[]>,
  directory: string,
  options: UpdateOptions,
): Promise<RootResolver> {
  const resolvers = new Map<string, Resolver>();
  for (const architecture of architecturesOf(base)) {
    const place = join(directory, architecture);
    await mkdir(place);
    const wanted = Object.entries(names).filter(([root]) => architectureOf(base, root) === architecture);
    const packages = wanted.flatMap(([, list]) => list);
    resolvers.set(architecture, await createResolver({ ...base, architecture }, packages, place, options));
  }
  const [first, ...others] = [...resolvers.values()].map(({ suites }) => suites.map(lockSuite));
  return {
    archives: (first ?? []).map((suite, index) =>
      joinSuites(
        suite,
        others.map((suites) => suites[index] ?? suite),
      ),
    ),
    async lockRoot(root, packages) {
      const resolver = resolvers.get(architectureOf(base, root));
      return resolver === undefined ? [] : await resolver.lockRoot(packages);
    },
  };
}

/** One suite as it was read for several architectures, which must have been at one moment. */
function joinSuites(suite: LockedSuite, others: readonly LockedSuite[]): LockedSuite {
  const moved = others.find(({ inRelease }) => inRelease.sha256 !== suite.inRelease.sha256);
  if (moved !== undefined)
    throw new LockError("LOCK_ARCHIVE_MALFORMED", {
      expected: `one ${suite.suite} for all architectures`,
      actual: "an update between",
    });
  return { ...suite, indexes: [suite, ...others].flatMap(({ indexes }) => indexes) };
}

/**
 * Resolves a recipe against the archives as they are now. Paths, sizes and digests come from the signed indexes; apt is only asked
 * which packages go together.
 * @throws LockError, FetchError
 */
export async function updateLock(recipe: DebianRecipe, options: UpdateOptions): Promise<Lock> {
  const directory = await mkdtemp(join(tmpdir(), "secai-lock-"));
  try {
    const names = requested(recipe);
    const { architecture, toolArchitecture } = recipe.base;
    const resolver = await createResolvers(recipe.base, names, directory, options);
    const roots: { -readonly [Root in keyof Roots<readonly LockedPackage[]>]: readonly LockedPackage[] } = {
      ...{ image: [], build: [], machine: [] },
    };
    for (const [root, packages] of Object.entries(names)) {
      options.report?.(`resolving the ${root} root`);
      const isExtension = recipe.extensions.some(({ name }) => extensionRoot(name) === root);
      roots[root] = isExtension
        ? beyond(roots.image, await resolver.lockRoot(root, [...names.image, ...packages]))
        : await resolver.lockRoot(root, packages);
    }
    const npm = await lockNpmPackages(recipe.npm, options);
    const { archives } = resolver;
    const tools = toolArchitecture === undefined ? {} : { toolArchitecture };
    const lock = { schema: 1, recipe: recipe.id, architecture, ...tools, archives, requested: names, roots } as const;
    return npm.length === 0 ? lock : { ...lock, npm };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
