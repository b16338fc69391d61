import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { createReadStream, createWriteStream, readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256File } from "../../../attest/formats/digest.ts";
import { CodedError } from "../../../attest/formats/errors.ts";
import type { Fetcher } from "../../../pipelines/engine/engine.ts";
import { createLocalEngine } from "../../../pipelines/engine/local.ts";
import { createFetcher } from "../../../pipelines/fetch/fetch.ts";
import type { Mirrors } from "../../../pipelines/fetch/mirrors.ts";
import { type BootcLock, formatBootcLock } from "../../../pipelines/lock/bootc-lock.ts";
import { checkBootcLock, requireResolved } from "../../../pipelines/lock/check-bootc-lock.ts";
import { parseBootcLock } from "../../../pipelines/lock/load.ts";
import { updateBootcLock } from "../../../pipelines/lock/update-bootc.ts";
import { createWorkshop } from "../../../pipelines/lock/workshop.ts";
import { type BootcRecipe, isBootc, loadRecipe } from "../../../pipelines/recipe/recipe.ts";
import type { FetchFile, Step } from "../../../pipelines/step.ts";
import { directory } from "../../../pipelines/steps/exec.ts";
import { top } from "../../../scripts/house/tree.ts";
import { buildArchive, createKey, retireKey, type TestKey } from "../fetch/archive.ts";
import { type Mirror, startMirror } from "../fetch/server.ts";
import { toolRootPath } from "../measure/tool-root.ts";
import { archiveOf, makeBase, writeImage } from "../silverblue/base.ts";
import { Bench } from "../silverblue/bench.ts";
import { makeModuleImage } from "../silverblue/module-image.ts";
import { buildRpms, KERNEL } from "../silverblue/rpms.ts";
import { attachSignature, openRegistry, type Registry } from "./registry.ts";

// A lock made from nothing: a registry, a repository of RPMs and a Debian archive on loopback, all with throwaway keys; the tool root of the
// machine in the place of the one that a build makes.

const DATABASE = "/usr/share/rpm";
const RPM_KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-fixture";
const NOW = 1_760_000_000;
const pem = generateKeyPairSync("ec", {
  namedCurve: "P-256",
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

let bench: Bench;
let registry: Registry;
let debian: Mirror;
let rpms: Mirror;
let key: TestKey;
let recipe: BootcRecipe;
let tools: FetchFile;
const digests: Record<string, string> = {};

/** The committed recipe, asking loopback for less. */
async function fixtureRecipe(): Promise<BootcRecipe> {
  const committed = await loadRecipe(top, "recipes/silverblue-42.yaml");
  if (!isBootc(committed)) throw new Error("another kind");
  const signer = { kind: "cosign-key", key: "signer.pub", identity: "fixture" } as const;
  const { base, imageBuilder, modules } = committed;
  return {
    ...committed,
    base: {
      ...{ ...base, repository: "registry.example/owner/base", signer, database: DATABASE },
      repositories: [{ name: "fedora", keys: [RPM_KEY] }],
    },
    modules: modules.map((one) => ({
      ...one,
      repository: "registry.example/owner/modules",
      signer,
      packages: ["rpms/kmods/kmod-third-*.rpm"],
    })),
    imageBuilder: { ...imageBuilder, repository: "registry.example/owner/builder", digest: digests.builder ?? "" },
    toolBase: { ...committed.toolBase, release: "test", archives: [{ name: "debian", suites: ["test"], components: ["main"] }] },
    toolRoots: { build: [{ name: "tools" }] },
    packages: [{ name: "wanted" }],
    remove: { packages: ["git-core"], commands: ["git"] },
  };
}

/** Signs RPMs with a key of their own, whose public half the base image carries. */
function signRpms(folder: string, files: string): void {
  bench.tools(`mkdir -p -m 700 gnupg
    [ -f rpm-key.asc ] || { gpg --homedir gnupg --batch --quiet --passphrase '' --quick-generate-key 'rpms <r@test.invalid>' rsa2048 sign never; gpg --homedir gnupg --armor --export > rpm-key.asc; }
    rpmsign --define "_gpg_path $PWD/gnupg" --define "_gpg_name r@test.invalid" --define "_tmppath /tmp" --addsign ${folder}/${files} 2>&1`);
}

function makeRepository(): void {
  buildRpms(bench, "repo", [
    {
      name: "wanted",
      head: "Requires: needed >= 2\nRequires: library > 1.0\nRequires: /usr/bin/sh\nRecommends: nicety\nEpoch: 1",
    },
    { name: "needed", version: "1.9" },
    { name: "needed", version: "2.1", head: "BuildArch: noarch" },
    { name: "nicety" },
    // Newer than the base's own.
    { name: "library", version: "1.1" },
    { name: "unwanted" },
  ]);
  signRpms("repo", "*.rpm");
  bench.tools(`createrepo_c --quiet --no-database --general-compress-type=zstd repo`);
}

/** The files of a folder as a mirror has them. */
function serve(mirror: Mirror, folder: string): void {
  for (const path of bench.tools(`cd ${folder}; find . -type f -printf '%P\\n'`).trim().split("\n"))
    mirror.files.set(path, readFileSync(bench.at(folder, path)));
}

beforeAll(async () => {
  bench = await Bench.open();
  [registry, debian, rpms] = await Promise.all([openRegistry(), startMirror(), startMirror()]);
  key = await createKey(bench.path, "archive");
  const packages = [{ name: "tools", version: "1.0" }];
  for (const [path, bytes] of await buildArchive(bench.path, { suite: "test", packages, key })) debian.files.set(path, bytes);
  makeRepository();
  serve(rpms, "repo");
  const { certificate } = makeModuleImage(bench, "unlabelled");
  const modules = { archive: archiveOf(bench, "unlabelled-tree"), compression: "gzip" } as const;
  digests.modules = writeImage(bench, "modules", [modules], { "ostree.linux": KERNEL });
  // The distribution's key comes with the base, in a layer of its own.
  bench.tools(`mkdir -p keys/etc/pki/rpm-gpg; cp rpm-key.asc keys${RPM_KEY}`);
  const keys = { archive: archiveOf(bench, "keys"), compression: "none" } as const;
  makeBase(bench, "without-key", certificate);
  const layers = ["lower", "upper"].map((folder) => ({ archive: archiveOf(bench, folder), compression: "gzip" }) as const);
  digests.base = writeImage(bench, "base", [...layers, keys], { "ostree.linux": KERNEL });
  digests.builder = writeImage(bench, "builder", [keys]);
  pushAll();
  const archive = bench.at("tool-root.tar");
  const packed = spawnSync("tar", ["-C", toolRootPath(), "--exclude=./var/cache", "-cf", archive, "."], { stdio: "inherit" });
  if (packed.status !== 0) throw new Error("the tool root cannot be packed");
  tools = {
    name: "tool-root.tar",
    path: archive,
    archive: "tools",
    size: statSync(archive).size,
    sha256: await sha256File(archive),
  };
  recipe = await fixtureRecipe();
  bench.write("signer.pub", pem.publicKey);
}, 300_000);
afterAll(async () => {
  await retireKey(key);
  await Promise.all([registry.close(), debian.close(), rpms.close()]);
  bench.remove();
});

function pushAll(): void {
  registry.push("owner/base", "42", bench.at("base"), digests.base ?? "");
  registry.push("owner/modules", "main-42", bench.at("modules"), digests.modules ?? "");
  registry.push("owner/builder", "any", bench.at("builder"), digests.builder ?? "");
  for (const name of ["base", "modules"])
    attachSignature(registry, "registry.example", `owner/${name}`, digests[name] ?? "", pem.privateKey);
}

/** The tool root as one archive, unpacked by a step. */
const toolSteps = (): readonly Step[] => [
  { kind: "fetch", id: "fetch.build", network: "fetch", files: [tools] },
  {
    ...{ kind: "exec", id: "root.build", title: "tool root", tools: { kind: "host" }, network: "none", privileges: "tree" },
    inputs: { "/in/archive": { kind: "fetched", step: "fetch.build" } },
    ...{ secrets: {}, env: {} },
    run: ["sh", "-c", `mkdir -m 755 /out/root && tar -C /out/root -xpf /in/archive/${tools.name}`],
    outputs: { root: directory("/out/root") },
  },
];

const mirrors = (): Mirrors => ({ "registry.example": [registry.url], debian: [debian.url], fedora: [rpms.url] });

/** What the step of the tool root fetches lies here; everything else comes from loopback. */
const fetcherOf = (all: Mirrors): Fetcher => {
  const remote = createFetcher({ mirrors: all, proxyEnv: {}, attempts: 1 });
  return async (files, blobs, options) => {
    for (const { path, sha256 } of files.filter(({ archive }) => archive === "tools")) {
      const partial = blobs.partialPath(sha256);
      await pipeline(createReadStream(path), createWriteStream(partial));
      await blobs.commit(sha256, partial);
    }
    await remote(
      files.filter(({ archive }) => archive !== "tools"),
      blobs,
      options,
    );
  };
};

async function update(change: Partial<BootcRecipe> = {}, all: Mirrors = mirrors(), previous?: BootcLock): Promise<BootcLock> {
  const asked = { ...recipe, ...change };
  const cacheDir = bench.at("lock-cache");
  const workshop = createWorkshop({
    ...{ top, cacheDir, recipe: asked, tools: toolSteps, report: () => {} },
    engine: (programPath) =>
      createLocalEngine({
        ...{ cacheDir, top, fetcher: fetcherOf(all), keyring: () => "" },
        programs: async (name) => programPath(name),
      }),
  });
  const known = previous === undefined ? {} : { previous };
  return await updateBootcLock(asked, {
    ...{ top: bench.path, workshop, mirrors: all, keyring: key.keyring, now: NOW, proxyEnv: {}, ...known },
  });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "accepted";
  } catch (error) {
    return error instanceof CodedError ? error.code : `crash: ${String(error)}`;
  }
}

const LIMIT_MS = 300_000;

test(
  "everything is resolved: digests that somebody signed, packages that go together and that somebody signed, modules of the kernel",
  async () => {
    const lock = await update();
    expect(lock.unresolved).toEqual([]);
    expect(parseBootcLock(formatBootcLock(lock))).toEqual({ ...lock, state: "resolved" });
    expect(checkBootcLock(recipe, lock)).toEqual([]);
    expect(() => requireResolved(lock)).not.toThrow();
    expect(lock.images.map(({ name, digest, signer }) => [name, digest, signer.kind, signer.verifiedAt])).toEqual([
      ["base", digests.base, "cosign-key", "2025-10-09T08:53:20Z"],
      ["modules.nvidia", digests.modules, "cosign-key", "2025-10-09T08:53:20Z"],
      ["imageBuilder", digests.builder, "unsigned upstream", null],
    ]);
    expect(lock.rpms.map(({ name, epoch, version, arch }) => `${name} ${epoch}:${version} ${arch}`)).toEqual([
      "library 0:1.1 x86_64",
      "needed 0:2.1 noarch",
      "wanted 1:1.0 x86_64",
    ]);
    for (const { path, sha256, size, signingKey } of lock.rpms) {
      expect(await sha256File(bench.at("repo", path))).toBe(sha256);
      expect(statSync(bench.at("repo", path)).size).toBe(size);
      expect(signingKey).toMatch(/^[0-9a-f]{16,40}$/);
    }
    const [modules] = lock.images.filter(({ name }) => name === "modules.nvidia");
    expect(modules?.packages.map(({ file }) => basename(file))).toEqual(["kmod-third-1.0-1.fc42.x86_64.rpm"]);
    expect(lock.roots.build?.map(({ name }) => name)).toEqual(["tools"]);
  },
  LIMIT_MS,
);

test(
  "the same again is the same lock",
  async () => expect(formatBootcLock(await update())).toBe(formatBootcLock(await update())),
  LIMIT_MS,
);

const refused: readonly (readonly [string, () => Partial<BootcRecipe>, string])[] = [
  ["a package that no repository has", () => ({ packages: [{ name: "nowhere" }] }), "LOCK_UNRESOLVABLE"],
  ["the removal of what is not there", () => ({ remove: { packages: ["absent"], commands: [] } }), "LOCK_UNRESOLVABLE"],
  ["the removal of what something needs", () => ({ remove: { packages: ["base-system"], commands: [] } }), "LOCK_UNRESOLVABLE"],
  ["a tool that the archive does not have", () => ({ toolRoots: { build: [{ name: "nowhere" }] } }), "LOCK_PACKAGE_UNKNOWN"],
  [
    "modules that the image does not have",
    () => ({ modules: recipe.modules.map((one) => ({ ...one, packages: ["rpms/x-*.rpm"] })) }),
    "LOCK_ARCHIVE_MISSING",
  ],
  [
    "packages by a key that the base does not have",
    () => ({
      base: { ...recipe.base, repositories: [{ name: "fedora", keys: ["/etc/pki/none"] }] },
    }),
    "STEP_FAILED",
  ],
];
for (const [name, change, code] of refused)
  test(`${name} is refused`, async () => expect(await codeOf(update(change()))).toBe(code), LIMIT_MS);

test(
  "an unsigned package is refused",
  async () => {
    bench.tools("cp -r repo unsigned; rpmsign --delsign unsigned/wanted-*.rpm 2>&1; createrepo_c --quiet --no-database unsigned");
    const other = await startMirror();
    serve(other, "unsigned");
    expect(await codeOf(update({}, { ...mirrors(), fedora: [other.url] }))).toBe("STEP_FAILED");
    await other.close();
  },
  LIMIT_MS,
);

test(
  "an index whose list of packages was exchanged is refused",
  async () => {
    bench.tools("cp -r repo exchanged; rm exchanged/unwanted-*.rpm; createrepo_c --quiet --no-database exchanged");
    const other = await startMirror();
    serve(other, "exchanged");
    const [path = "", bytes = Buffer.of()] = [...other.files].find(([file]) => file.includes("primary")) ?? [];
    other.files.set(path, Buffer.alloc(bytes.length, 1));
    expect(await codeOf(update({}, { ...mirrors(), fedora: [other.url] }))).toBe("FETCH_HASH_MISMATCH");
    await other.close();
  },
  LIMIT_MS,
);

test(
  "modules for another kernel are refused",
  async () => {
    const label = { "ostree.linux": "6.99.0-1.fc42.x86_64" };
    const digest = writeImage(
      bench,
      "other-modules",
      [{ archive: archiveOf(bench, "unlabelled-tree"), compression: "gzip" }],
      label,
    );
    registry.push("owner/modules", "main-42", bench.at("other-modules"), digest);
    attachSignature(registry, "registry.example", "owner/modules", digest, pem.privateKey);
    expect(await codeOf(update())).toBe("LOCK_KERNEL_MISMATCH");
    pushAll();
  },
  LIMIT_MS,
);

test(
  "a base that another key signed is refused",
  async () => {
    const other = generateKeyPairSync("ec", {
      namedCurve: "P-256",
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    attachSignature(registry, "registry.example", "owner/base", digests.base ?? "", other.privateKey);
    expect(await codeOf(update())).toBe("LOCK_IMAGE_UNSIGNED");
    pushAll();
  },
  LIMIT_MS,
);

test(
  "what cannot be reached stays unresolved by name, and a digest that was known stays known",
  async () => {
    const nowhere = { ...mirrors(), "registry.example": ["http://127.0.0.1:1/v2/"] };
    const lock = await update({}, nowhere);
    expect(lock.unresolved.map(({ name }) => name)).toEqual(["base", "modules.nvidia", "imageBuilder", "rpms"]);
    expect(lock.images.map(({ digest }) => digest)).toEqual(["unresolved", "unresolved", digests.builder]);
    expect(() => requireResolved(parseBootcLock(formatBootcLock(lock)))).toThrow(
      expect.objectContaining({ code: "LOCK_UNRESOLVED" }),
    );
    const again = await update({}, nowhere, await update());
    expect(again.images[0]).toMatchObject({ digest: digests.base, signer: { verifiedAt: null }, blobs: [] });
    expect(checkBootcLock(recipe, again)).toEqual([]);
  },
  LIMIT_MS,
);
