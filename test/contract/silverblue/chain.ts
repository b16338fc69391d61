import { spawnSync } from "node:child_process";
import { createReadStream, createWriteStream, existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Sha256, sha256File } from "../../../attest/formats/digest.ts";
import type { Fetcher, RunResult } from "../../../pipelines/engine/engine.ts";
import { createLocalEngine } from "../../../pipelines/engine/local.ts";
import type { BootcLock, LockedBlob, LockedImage, LockedRpm } from "../../../pipelines/lock/bootc-lock.ts";
import { bootcPlanSteps } from "../../../pipelines/plan-silverblue.ts";
import { type BootcRecipe, isBootc, loadRecipe } from "../../../pipelines/recipe/recipe.ts";
import { loadSources, referencesOf } from "../../../pipelines/sources.ts";
import type { FetchFile, Plan, Step } from "../../../pipelines/step.ts";
import { directory, outputOf } from "../../../pipelines/steps/exec.ts";
import { top } from "../../../scripts/house/tree.ts";
import { toolRootPath } from "../measure/tool-root.ts";
import { type Bench, EPOCH } from "./bench.ts";
import { lockedEntries } from "./repository.ts";

export const REVISION = "0123456789abcdef0123456789abcdef01234567";

/** The production recipe itself; only what it removes from its base is what the fixture's base has. */
export async function fixtureRecipe(): Promise<BootcRecipe> {
  const recipe = await loadRecipe(top, "recipes/silverblue-42.yaml");
  if (!isBootc(recipe)) throw new Error("silverblue-42 is no recipe on a container base");
  return { ...recipe, remove: { packages: ["git-core"], commands: [...recipe.remove.commands, "git"] } };
}

function blobsOf(bench: Bench, folder: string, digest: string): readonly LockedBlob[] {
  const first = digest.slice("sha256:".length);
  const names = readdirSync(bench.at(folder, "blobs/sha256")).sort((a, b) => Number(b === first) - Number(a === first));
  return names.map((name) => ({
    kind: name === first ? "manifest" : "blob",
    sha256: name as Sha256,
    size: statSync(bench.at(folder, "blobs/sha256", name)).size,
  }));
}

export interface FixtureImage {
  readonly name: string;
  readonly folder: string;
  readonly digest: string;
  readonly packages?: LockedImage["packages"];
}

/** A lock in which everything is resolved: to images and packages of the bench. */
export function fixtureLock(bench: Bench, images: readonly FixtureImage[], rpms: string): BootcLock {
  const signer = { kind: "cosign-key", identity: "fixture", verifiedAt: "2025-10-09T00:00:00Z" } as const;
  return {
    ...{ schema: 1, kind: "bootc", recipe: "silverblue-42", architecture: "amd64", unresolved: [], archives: [] },
    requested: { image: [], remove: [], build: [], machine: [] } as unknown as BootcLock["requested"],
    roots: {} as BootcLock["roots"],
    images: images.map(({ name, folder, digest, packages = [] }) => ({
      ...{ name, digest, packages, signer, repository: "registry.example/fixture", tag: "42", date: "2025-10-09", kernel: null },
      blobs: blobsOf(bench, folder, digest),
    })),
    repositories: [],
    rpms: lockedEntries(bench, rpms).map(
      ({ file, ...rest }) =>
        ({ ...rest, repository: "fedora", path: `Packages/${file}`, signingKey: "00" }) as unknown as LockedRpm,
    ),
  };
}

/** The tool root as a step makes it, out of one archive: unpacking it takes seconds, and the engine under test is the machine's own. */
function toolSteps(archive: FetchFile): readonly Step[] {
  return [
    { kind: "fetch", id: "fetch.build", network: "fetch", files: [archive] },
    {
      ...{ kind: "exec", id: "root.build", title: "tool root", tools: { kind: "host" }, network: "none", privileges: "tree" },
      inputs: { "/in/archive": { kind: "fetched", step: "fetch.build" } },
      ...{ secrets: {}, env: {} },
      run: ["sh", "-c", `mkdir -m 755 /out/root && tar -C /out/root -xpf /in/archive/${archive.name}`],
      outputs: { root: directory("/out/root") },
    },
  ];
}

/** Everything that a build fetches, by digest: blobs, packages, the tool root. */
class Shop {
  readonly #paths = new Map<string, string>();

  async offer(path: string): Promise<FetchFile> {
    const digest = await sha256File(path);
    this.#paths.set(digest, path);
    return { name: path.slice(path.lastIndexOf("/") + 1), path, archive: "fixture", size: statSync(path).size, sha256: digest };
  }

  readonly fetcher: Fetcher = async (files, blobs, { onBytes }) => {
    for (const { name, sha256: digest, size } of files) {
      const from = this.#paths.get(digest);
      if (from === undefined) throw new Error(`nobody offers ${name}`);
      const partial = blobs.partialPath(digest);
      await pipeline(createReadStream(from), createWriteStream(partial));
      await blobs.commit(digest, partial);
      onBytes?.(size, size);
    }
  };
}

export interface Chain {
  readonly plan: Plan;
  /** Runs every step that is not in the cache. */
  run(): Promise<RunResult>;
  /** Forgets what was made, but for the tool root. */
  forget(result: RunResult): void;
}

/** The plan of the recipe over the fixture's lock, for the local engine; everything up to the finished image and its SBOM. */
export async function openChain(bench: Bench, images: readonly FixtureImage[], rpms: string): Promise<Chain> {
  const shop = new Shop();
  const archive = bench.at("tool-root.tar");
  if (!existsSync(archive)) packToolRoot(archive);
  const tools = toolSteps(await shop.offer(archive));
  for (const { folder } of images)
    for (const name of readdirSync(bench.at(folder, "blobs/sha256"))) await shop.offer(bench.at(folder, "blobs/sha256", name));
  for (const name of readdirSync(bench.at(rpms))) await shop.offer(bench.at(rpms, name));
  const inputs = {
    recipe: { ...(await fixtureRecipe()), outputs: ["oci"] as const },
    lock: fixtureLock(bench, images, rpms),
    npm: JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")),
    releaseKey: bench.read("release.pub"),
    revision: REVISION,
    sourceDateEpoch: EPOCH,
  };
  const own = bootcPlanSteps(inputs).filter(({ id }) => id !== "fetch.build" && id !== "root.build");
  const steps = [...tools, ...own];
  const cacheDir = bench.at("engine-cache");
  const sources = await loadSources(top, cacheDir, referencesOf(steps));
  const zero = "0".repeat(64) as Sha256;
  const plan: Plan = {
    recipe: { id: "silverblue-42", version: inputs.recipe.version, digest: zero, lockDigest: zero },
    ...{ sourceDateEpoch: EPOCH, sources: sources.files, programs: sources.programs, steps },
    outputs: { image: outputOf("image", "layout"), lint: outputOf("lint", "report"), sbom: outputOf("sbom.image", "sbom") },
  };
  const engine = createLocalEngine({
    ...{ top, cacheDir, fetcher: shop.fetcher, parallelism: 2 },
    keyring: (name) => bench.at("no-keys", name),
    programs: async (name) => sources.programPath(name),
  });
  return {
    plan,
    run: async () => {
      const failed: string[] = [];
      const report = (event: { type: string; step?: string; tail?: readonly string[] }) => {
        if (event.type === "step-failed") failed.push(`${event.step}:\n${(event.tail ?? []).join("\n")}`);
      };
      return await engine.run(plan, { report }).catch((cause: Error) => {
        throw new Error(`${cause.message}\n${failed.join("\n")}`, { cause });
      });
    },
    forget({ records }) {
      for (const { id, key } of records)
        if (id !== "root.build") rmSync(join(cacheDir, "steps", key), { recursive: true, force: true });
    },
  };
}

function packToolRoot(archive: string): void {
  const { status, stderr } = spawnSync("tar", ["-C", toolRootPath(), "-cf", archive, "."], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}
