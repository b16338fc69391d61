/** Packages that would run a script at install time. Scripts stay off (.npmrc); each name says why the package works without. */
export const installScriptsKnown: Readonly<Record<string, string>> = {
  esbuild: "its script only swaps a JavaScript shim for the binary of the platform package; the shim finds that binary too",
};

/** Dependencies that no import statement names. */
export const importedByNobody: Readonly<Record<string, string>> = {
  "@cyclonedx/cyclonedx-library > ajv-formats": "an optional peer that the CycloneDX validator loads itself",
  "@cyclonedx/cyclonedx-library > ajv-formats-draft2019": "an optional peer that the CycloneDX validator loads itself",
  "@cyclonedx/cyclonedx-library > xmlbuilder2": "an optional peer that the CycloneDX library loads itself to write XML",
  "@secai/dagger-sdk > @dagger.io/dagger": "imported by its path: it is installed at first use, in a folder of its own",
};

const kinds = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] as const;

interface Manifest extends Readonly<Partial<Record<(typeof kinds)[number], Readonly<Record<string, string>>>>> {
  readonly scripts?: Readonly<Record<string, string>>;
}

/** Versions are exact ("1.2.3" or "1.2.3-rc.1"), so that package.json and the lock cannot disagree about what was reviewed. */
export function manifestFindings(path: string, manifest: Manifest): readonly string[] {
  const ranges = kinds.flatMap((kind) =>
    Object.entries(manifest[kind] ?? {})
      .filter(([, version]) => !/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version))
      .map(([name, version]) => `${path}: ${kind} ${name} is "${version}", not an exact version`),
  );
  const hooks = Object.keys(manifest.scripts ?? {})
    .filter((name) => /^(pre|post)?(install|prepare|pack|publish)$|^prepublishOnly$|^dependencies$/.test(name))
    .map((name) => `${path}: script "${name}" would run at install time`);
  return [...ranges, ...hooks];
}

interface LockedPackage {
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly libc?: readonly string[];
}

/**
 * Builds for platforms that we do not support are never installed here, and a registry may not carry them: the lock then knows no hash.
 * Anything that a supported machine (Linux with glibc) could install has one.
 */
function isForeign({ optional, os, libc }: LockedPackage): boolean {
  return optional === true && (os?.includes("linux") === false || libc?.includes("glibc") === false);
}

/** Name of the package that lies at a path of the lock, e.g. "node_modules/a/node_modules/@b/c" -> "@b/c". */
const packageAt = (path: string): string => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);

export function lockFindings(packages: Readonly<Record<string, LockedPackage>>): readonly string[] {
  const locked = Object.entries(packages).filter(([path, { link }]) => path.includes("node_modules/") && link !== true);
  const scripted = new Set(
    locked.filter(([, { hasInstallScript }]) => hasInstallScript === true).map(([path]) => packageAt(path)),
  );
  return [
    ...locked
      .filter(([, { resolved }]) => resolved !== undefined)
      .map(([path, { resolved }]) => `package-lock.json: ${path} is bound to one registry: ${resolved}`),
    ...locked
      .filter(
        ([, entry]) =>
          !/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? "") && !(entry.integrity === undefined && isForeign(entry)),
      )
      .map(([path]) => `package-lock.json: ${path} has no SHA-512 integrity`),
    ...[...scripted]
      .filter((name) => !Object.hasOwn(installScriptsKnown, name))
      .map((name) => `package-lock.json: ${name} wants to run an install script and is not in installScriptsKnown`),
    ...Object.keys(installScriptsKnown)
      .filter((name) => !scripted.has(name))
      .map((name) => `package-lock.json: ${name} has no install script; take it out of installScriptsKnown`),
  ];
}

const npmrcMust = ["save-exact=true", "ignore-scripts=true", "omit-lockfile-registry-resolved=true"];

export function npmrcFindings(text: string): readonly string[] {
  const lines = text.split("\n").map((line) => line.trim());
  const missing = npmrcMust.filter((line) => !lines.includes(line)).map((line) => `.npmrc: ${line} is missing`);
  const bound = lines.filter((line) => /registry\s*=\s*\S*:\/\/|_auth|_password|^\/\//i.test(line));
  return [...missing, ...bound.map((line) => `.npmrc: names a registry or a credential: ${line.split("=")[0]}`)];
}

/** Package a specifier names: "@a/b/c" -> "@a/b", "ajv/dist/2020.js" -> "ajv"; undefined for paths and the platform. */
function packageOf(specifier: string): string | undefined {
  if (/^[./]|^node:/.test(specifier)) return undefined;
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/**
 * Imports of packages that the importing workspace does not declare. Its tests may also use what the repository's own package.json
 * declares (vitest, fast-check), which Biome's rule of the same purpose cannot say.
 */
export function undeclaredImports(
  path: string,
  manifest: Manifest,
  shared: Manifest,
  imports: readonly { readonly from: string; readonly specifier: string }[],
): readonly string[] {
  const own = new Set(kinds.flatMap((kind) => Object.keys(manifest[kind] ?? {})));
  const tests = new Set([...own, ...Object.keys(shared.devDependencies ?? {})]);
  return imports.flatMap(({ from, specifier }) => {
    const name = packageOf(specifier);
    const known = from.endsWith(".test.ts") ? tests : own;
    return name === undefined || known.has(name) ? [] : [`${from}: imports ${name}, which ${path} does not declare`];
  });
}

/** Declared runtime and test dependencies of a workspace that none of its files imports. */
export function unusedDependencies(path: string, manifest: Manifest, specifiers: readonly string[]): readonly string[] {
  const imported = new Set(specifiers.map(packageOf));
  const declared = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  const peers = new Set(Object.keys(importedByNobody).map((pair) => pair.split(" > ")[1]));
  return declared
    .filter((name) => !imported.has(name) && !peers.has(name))
    .map((name) => `${path}: ${name} is declared and imported by nobody`);
}
