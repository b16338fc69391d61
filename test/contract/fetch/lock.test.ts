import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBlobStore } from "@secai/pipelines/engine/blob-store";
import { createFetcher } from "@secai/pipelines/fetch/fetch";
import { checkLock, checkLockOnMirrors } from "@secai/pipelines/lock/check-lock";
import { runLock } from "@secai/pipelines/lock/command";
import { resolveDrift } from "@secai/pipelines/lock/drift";
import { parseLock } from "@secai/pipelines/lock/load";
import { formatLock, type Lock, lockedRoot, type RootName } from "@secai/pipelines/lock/lock";
import { type UpdateOptions, updateLock } from "@secai/pipelines/lock/update";
import { preflight } from "@secai/pipelines/preflight";
import type { DebianRecipe as Recipe } from "@secai/pipelines/recipe/recipe";
import type { FetchFile } from "@secai/pipelines/step";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type ArchiveSpec, buildArchive, clearSign, createKey, retireKey, type TestKey } from "./archive.ts";
import { type Mirror, startMirror } from "./server.ts";

const recipe: Recipe = {
  schema: 1,
  id: "tiny",
  title: "Tiny",
  version: "0.0.1",
  base: {
    kind: "debian",
    release: "tiny",
    architecture: "amd64",
    archives: [{ name: "debian", suites: ["tiny"], components: ["main"] }],
  },
  packages: [{ name: "app" }],
  toolRoots: { build: [{ name: "tool" }], machine: [] },
  npm: [],
  extensions: [],
  kernelArguments: [],
  services: [],
  overlays: [],
  initrd: { overlay: "none", modules: [] },
  remove: { packages: [], paths: [] },
  disk: { espMiB: 288, rootMiB: 352, verityMiB: 16, imageGiB: 8 },
  gpuBackends: ["cpu"],
  outputs: ["qcow2"],
  sizeBudgetMiB: 200,
};

let directory: string;
let key: TestKey;
let stranger: TestKey;
let mirror: Mirror;
/** The archive as it was, and as it is after a point release. */
let old: ReadonlyMap<string, Uint8Array>;
let young: ReadonlyMap<string, Uint8Array>;

const inRelease = "dists/tiny/InRelease";

function spec(appVersion: string): ArchiveSpec {
  const packages = [
    { name: "base-system", version: "1.0", essential: true, depends: "libbase" },
    { name: "libbase", version: "1:1.0" },
    { name: "app", version: appVersion, depends: `libapp (>= ${appVersion})` },
    { name: "libapp", version: appVersion },
    { name: "tool", version: "3" },
    { name: "broken", version: "1", depends: "no-such-package" },
    { name: "unrelated", version: "1" },
  ];
  return { suite: "tiny", packages, key };
}

beforeAll(async () => {
  await preflight(["apt-get", "gpgv", "gpg", "dpkg-deb"]);
  directory = await mkdtemp(join(tmpdir(), "secai-archive-"));
  key = await createKey(directory, "archive");
  stranger = await createKey(directory, "stranger");
  old = await buildArchive(directory, spec("1.0"));
  young = await buildArchive(directory, spec("1.1"));
  mirror = await startMirror();
});
afterAll(async () => {
  await mirror.close();
  for (const each of [key, stranger]) await retireKey(each);
  await rm(directory, { recursive: true, force: true });
});
beforeEach(() => serve(old));

function serve(files: ReadonlyMap<string, Uint8Array>): void {
  mirror.files.clear();
  mirror.troubles.clear();
  for (const [path, bytes] of files) mirror.files.set(path, bytes);
}

function options(extra: Partial<UpdateOptions> = {}): UpdateOptions {
  return { mirrors: { debian: [mirror.url] }, keyring: key.keyring, proxyEnv: {}, ...extra };
}

/** Signs the archive's release file anew after a change. */
async function resign(change: (text: string) => string, signer = key): Promise<void> {
  const signed = Buffer.from(mirror.files.get(inRelease) ?? []).toString("utf8");
  const text = signed.slice(signed.indexOf("\n\n") + 2, signed.indexOf("-----BEGIN PGP SIGNATURE"));
  mirror.files.set(inRelease, await clearSign(directory, change(text), signer));
}

const versions = (lock: Lock, root: RootName): string[] =>
  lockedRoot(lock, root).map(({ name, version }) => `${name} ${version}`);

test("an image may be of another architecture than its tools: each root has its own packages, each suite both indexes", async () => {
  const packages = ["amd64", "arm64"].flatMap((architecture) => [
    { name: "app", version: "1.0", architecture, depends: "libapp" },
    { name: "libapp", version: "1.0", architecture },
    { name: "tool", version: "3", architecture },
  ]);
  const only = { name: "board", version: "1", architecture: "arm64" };
  const base = { name: "base-system", version: "1.0", essential: true };
  serve(
    await buildArchive(directory, { suite: "tiny", key, architectures: ["amd64", "arm64"], packages: [base, only, ...packages] }),
  );
  const both = { ...recipe.base, architecture: "arm64", toolArchitecture: "amd64" } as const;
  const foreign: Recipe = { ...recipe, base: both, packages: [{ name: "app" }, { name: "board" }] };
  const lock = await updateLock(foreign, options());
  const kinds = (root: RootName): string[] => lockedRoot(lock, root).map(({ name, architecture }) => `${name} ${architecture}`);
  expect(kinds("image")).toEqual(["app arm64", "base-system all", "board arm64", "libapp arm64"]);
  expect(kinds("build")).toEqual(["base-system all", "tool amd64"]);
  expect(lock.archives.map(({ indexes }) => indexes.map(({ path }) => path.split("/")[3]))).toEqual([
    ["binary-arm64", "binary-amd64"],
  ]);
  expect(parseLock(formatLock(lock))).toEqual(lock);
  expect(checkLock(foreign, lock)).toEqual([]);
  expect(await checkLockOnMirrors(foreign, lock, options())).toEqual([]);
  // What only the image's architecture has is no tool.
  const toolRoots = { ...recipe.toolRoots, machine: [{ name: "board" }] };
  await expect(updateLock({ ...foreign, toolRoots }, options())).rejects.toMatchObject({ code: "LOCK_PACKAGE_UNKNOWN" });
});

test("a lock holds what was asked for, what is essential, and what both need; twice the same", async () => {
  const lock = await updateLock(recipe, options());
  expect(versions(lock, "image")).toEqual(["app 1.0", "base-system 1.0", "libapp 1.0", "libbase 1:1.0"]);
  expect(versions(lock, "build")).toEqual(["base-system 1.0", "libbase 1:1.0", "tool 3"]);
  expect(versions(lock, "machine")).toEqual(["base-system 1.0", "libbase 1:1.0"]);
  expect(lock.archives[0]?.signedBy).toEqual([key.fingerprint]);
  expect(parseLock(formatLock(lock))).toEqual(lock);
  expect(formatLock(await updateLock(recipe, options()))).toBe(formatLock(lock));
  expect(await checkLockOnMirrors(recipe, lock, options())).toEqual([]);
});

const refused: readonly { readonly name: string; readonly code: string; readonly arrange: () => Promise<void> | void }[] = [
  {
    name: "a release file that was changed after it was signed",
    code: "LOCK_SIGNATURE_INVALID",
    arrange() {
      const signed = Buffer.from(mirror.files.get(inRelease) ?? []).toString("utf8");
      mirror.files.set(inRelease, Buffer.from(signed.replace("Origin: Test", "Origin: Best")));
    },
  },
  { name: "a stranger's signature", code: "LOCK_SIGNER_UNKNOWN", arrange: () => resign((text) => text, stranger) },
  {
    name: "a release file without a signature",
    code: "LOCK_SIGNATURE_INVALID",
    arrange: () => void mirror.files.set(inRelease, Buffer.from("Origin: Test\nSuite: tiny\n")),
  },
  {
    name: "an empty release file",
    code: "LOCK_SIGNATURE_INVALID",
    arrange: () => void mirror.files.set(inRelease, Buffer.alloc(0)),
  },
  {
    name: "a signed release file of another suite",
    code: "LOCK_ARCHIVE_MALFORMED",
    arrange: () => resign((text) => text.replaceAll(": tiny", ": huge")),
  },
  {
    name: "a release file that has expired",
    code: "LOCK_ARCHIVE_EXPIRED",
    arrange: () => resign((text) => `Valid-Until: Sat, 01 Jan 2022 00:00:00 UTC\n${text}`),
  },
  {
    name: "an index that is not the listed one",
    code: "LOCK_ARCHIVE_MALFORMED",
    arrange() {
      const path = "dists/tiny/main/binary-amd64/Packages.gz";
      const bytes = Buffer.from(mirror.files.get(path) ?? []);
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      mirror.files.set(path, bytes);
    },
  },
  {
    name: "an index longer than listed",
    code: "FETCH_TOO_LARGE",
    arrange: () => void mirror.files.set("dists/tiny/main/binary-amd64/Packages.gz", Buffer.alloc(100_000)),
  },
  {
    name: "an index that is missing",
    code: "LOCK_ARCHIVE_MISSING",
    arrange: () => void mirror.files.delete("dists/tiny/main/binary-amd64/Packages.gz"),
  },
  {
    name: "an architecture that is not listed",
    code: "LOCK_ARCHIVE_MISSING",
    arrange: () => resign((text) => text.replaceAll("binary-amd64", "binary-s390x")),
  },
  { name: "a suite that is missing", code: "LOCK_ARCHIVE_MISSING", arrange: () => void mirror.files.delete(inRelease) },
];
for (const { name, code, arrange } of refused) {
  test(`${name} is ${code}`, async () => {
    await arrange();
    await expect(updateLock(recipe, options())).rejects.toMatchObject({ code });
  });
}

test("text before the signed part is not read", async () => {
  const signed = Buffer.from(mirror.files.get(inRelease) ?? []).toString("utf8");
  mirror.files.set(inRelease, Buffer.from(`Suite: other\nDate: never\n\n${signed}`));
  const lock = await updateLock(recipe, options()).catch((error: unknown) => error);
  // Either gpgv's copy of the signed part is used, or apt, which reads more narrowly, refuses the file.
  expect(lock).toMatchObject({ code: "LOCK_ARCHIVE_MALFORMED" });
});

test("a package that nobody offers is told with what was meant", async () => {
  const wrong = { ...recipe, packages: [{ name: "aap" }, { name: "libap" }] };
  const error = await updateLock(wrong, options()).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: "LOCK_PACKAGE_UNKNOWN", actual: "aap (did you mean app?), libap (did you mean libapp?)" });
});

test("packages that do not go together are LOCK_UNRESOLVABLE, with apt's reason", async () => {
  const error = await updateLock({ ...recipe, packages: [{ name: "broken" }] }, options()).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: "LOCK_UNRESOLVABLE", actual: expect.stringContaining("no-such-package") });
});

test("a mirror without the suite is passed over for the next", async () => {
  const empty = await startMirror();
  try {
    const lock = await updateLock(recipe, options({ mirrors: { debian: [empty.url, mirror.url] } }));
    expect(versions(lock, "build")).toContain("tool 3");
  } finally {
    await empty.close();
  }
});

function filesOf(lock: Lock): FetchFile[] {
  return lock.roots.image.map(({ name, path, archive, size, sha256 }) => ({ name, path, archive, size, sha256 }));
}

test("a mirror that moved on: fetching says what is gone, dev resolves again and names the drift, a release refuses", async () => {
  const lock = await updateLock(recipe, options());
  serve(young);
  const fetch = createFetcher({ mirrors: { debian: [mirror.url] }, proxyEnv: {}, backoffMs: 1 });
  const blobs = createBlobStore(join(directory, "blobs"));
  await expect(fetch(filesOf(lock), blobs, {})).rejects.toMatchObject({
    code: "LOCK_PACKAGE_GONE",
    actual: "none has app, libapp",
  });
  expect((await checkLockOnMirrors(recipe, lock, options())).map(({ code, message }) => `${code} ${message}`)).toEqual([
    "PACKAGE_GONE app 1.0 is no longer offered",
    "PACKAGE_GONE libapp 1.0 is no longer offered",
  ]);
  const refusal = resolveDrift(recipe, lock, { ...options(), channel: "release" });
  await expect(refusal).rejects.toMatchObject({ code: "LOCK_DRIFT_REFUSED", exit: 1 });
  const drifted = await resolveDrift(recipe, lock, { ...options(), channel: "dev" });
  expect(drifted.drift).toEqual([
    { root: "image", name: "app", locked: "1.0", resolved: "1.1" },
    { root: "image", name: "libapp", locked: "1.0", resolved: "1.1" },
  ]);
  await fetch(filesOf(drifted.lock), blobs, {});
  for (const { sha256 } of drifted.lock.roots.image) expect(await blobs.has(sha256)).toBe(true);
});

test("with a snapshot mirror the locked packages are still had", async () => {
  const lock = await updateLock(recipe, options());
  serve(young);
  const snapshot = await startMirror(old);
  try {
    const fetch = createFetcher({ mirrors: { debian: [mirror.url, snapshot.url] }, proxyEnv: {}, backoffMs: 1 });
    const blobs = createBlobStore(join(directory, "snapshot-blobs"));
    await fetch(filesOf(lock), blobs, {});
    for (const { sha256 } of lock.roots.image) expect(await blobs.has(sha256)).toBe(true);
  } finally {
    await snapshot.close();
  }
});

test("a package with the same version and other bytes is told", async () => {
  const lock = await updateLock(recipe, options());
  const [first, ...rest] = lock.roots.machine;
  if (first === undefined) throw new Error("the lock is empty");
  const [other] = lock.roots.image;
  const changed: Lock = {
    ...lock,
    roots: { ...lock.roots, machine: [{ ...first, sha256: other?.sha256 ?? first.sha256 }, ...rest] },
  };
  expect((await checkLockOnMirrors(recipe, changed, options())).map(({ code }) => code)).toEqual(["PACKAGE_CHANGED"]);
});

test("secai lock update, check and diff", async () => {
  const top = join(directory, "top");
  await mkdir(join(top, "recipes/locks"), { recursive: true });
  const { schema, id, title, version, ...rest } = recipe;
  await writeFile(join(top, "recipes/tiny.yaml"), JSON.stringify({ schema, id, title, version, ...rest }));
  const output: string[] = [];
  const errors: string[] = [];
  const io = { stdout: (text: string) => void output.push(text), stderr: (text: string) => void errors.push(text), top, env: {} };
  const flags = ["--mirror", `debian=${mirror.url}`, "--keyring", key.keyring];
  await expect(runLock(["check", "tiny"], io)).rejects.toMatchObject({ code: "LOCK_MISSING" });
  expect(await runLock(["update", "tiny", ...flags], io)).toBe(0);
  const written = join(top, "recipes/locks/tiny.lock.json");
  await writeFile(join(top, "old.json"), await readFile(written));
  expect(await runLock(["check", "tiny", "--online", ...flags], io)).toBe(0);
  serve(young);
  expect(await runLock(["check", "tiny", "--online", ...flags], io)).toBe(2);
  expect(await runLock(["update", "tiny", ...flags], io)).toBe(0);
  output.length = 0;
  expect(await runLock(["diff", "old.json", "--json"], io)).toBe(0);
  expect(JSON.parse(output.join(""))).toMatchObject({
    schema: 1,
    changes: [{ kind: "changed", name: "app", from: "1.0", to: "1.1" }, { name: "libapp" }],
  });
  await writeFile(
    join(top, "recipes/tiny.yaml"),
    JSON.stringify({ schema, id, title, version, ...rest, packages: ["app", "tool"] }),
  );
  expect(await runLock(["check", "tiny"], io)).toBe(2);
  expect(errors.join("")).toContain("REQUEST_DIFFERS");
  expect(await runLock(["frobnicate"], io)).toBe(2);
  expect(await runLock(["update", "--help"], io)).toBe(0);
});

const withExtension: Recipe = {
  ...recipe,
  toolRoots: { ...recipe.toolRoots, cuda: [{ name: "tool" }] },
  extensions: [
    {
      name: "more",
      title: "More",
      packages: [{ name: "unrelated" }, { name: "libapp" }],
      remove: { paths: [] },
      hardware: { pciClasses: ["03"], pciVendors: [] },
      sizeMiB: 16,
      sizeBudgetMiB: 8,
    },
  ],
};

test("an extension holds what the image does not have; each further root is locked and missed when it is gone", async () => {
  const lock = await updateLock(withExtension, options());
  expect(versions(lock, "extension.more")).toEqual(["unrelated 1"]);
  expect(versions(lock, "cuda")).toEqual(["base-system 1.0", "libbase 1:1.0", "tool 3"]);
  expect(parseLock(formatLock(lock))).toEqual(lock);
  expect(await checkLockOnMirrors(withExtension, lock, options())).toEqual([]);
  expect(checkLock(recipe, lock)).toMatchObject([{ code: "ROOTS_DIFFER", message: "-cuda -extension.more" }]);
  expect(checkLock(withExtension, await updateLock(recipe, options()))).toMatchObject([{ code: "ROOTS_DIFFER" }]);
});

const npmPackage = { name: "@tiny/lib", version: "1.2.3", reason: "A test." };
const withNpm: Recipe = { ...recipe, npm: [npmPackage] };
const npmOptions = (): UpdateOptions => ({ ...options(), mirrors: { ...options().mirrors, npm: [mirror.url] } });

/** A registry with one version of one package. */
function serveNpm(tarball: Buffer, change: (metadata: object) => object = (metadata) => metadata): void {
  const integrity = `sha512-${createHash("sha512").update("the tarball").digest("base64")}`;
  const metadata = change({ name: "@tiny/lib", version: "1.2.3", dist: { integrity } });
  mirror.files.set("@tiny%2flib/1.2.3", Buffer.from(JSON.stringify(metadata)));
  mirror.files.set("@tiny/lib/-/lib-1.2.3.tgz", tarball);
}

test("a package of npm is locked by what its registry says of it, and seen when the registry changes it", async () => {
  serveNpm(Buffer.from("the tarball"));
  const lock = await updateLock(withNpm, npmOptions());
  expect(lock.npm).toMatchObject([{ name: "@tiny/lib", version: "1.2.3", path: "@tiny/lib/-/lib-1.2.3.tgz", size: 11 }]);
  expect(parseLock(formatLock(lock))).toEqual(lock);
  expect(await checkLockOnMirrors(withNpm, lock, npmOptions())).toEqual([]);
  expect(checkLock(recipe, lock)).toMatchObject([{ code: "REQUEST_DIFFERS", root: "npm", message: "-@tiny/lib@1.2.3" }]);
  const other = `sha512-${createHash("sha512").update("other").digest("base64")}`;
  serveNpm(Buffer.from("the tarball"), (metadata) => ({ ...metadata, dist: { integrity: other } }));
  expect(await checkLockOnMirrors(withNpm, lock, npmOptions())).toMatchObject([{ code: "PACKAGE_CHANGED", root: "npm" }]);
});

test("a tarball with other bytes, metadata of another package and a version that is missing are refused", async () => {
  serveNpm(Buffer.from("another tarball"));
  await expect(updateLock(withNpm, npmOptions())).rejects.toMatchObject({ code: "LOCK_ARCHIVE_MALFORMED" });
  serveNpm(Buffer.from("the tarball"), (metadata) => ({ ...metadata, version: "1.2.4" }));
  await expect(updateLock(withNpm, npmOptions())).rejects.toMatchObject({ code: "LOCK_ARCHIVE_MALFORMED" });
  serveNpm(Buffer.from("the tarball"), () => ({ name: "@tiny/lib", version: "1.2.3", dist: { integrity: "sha1-x" } }));
  await expect(updateLock(withNpm, npmOptions())).rejects.toMatchObject({ code: "LOCK_ARCHIVE_MALFORMED" });
  const missing = { ...withNpm, npm: [{ ...npmPackage, version: "9.9.9" }] };
  await expect(updateLock(missing, npmOptions())).rejects.toMatchObject({ code: "LOCK_ARCHIVE_MISSING" });
});
