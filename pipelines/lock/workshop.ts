import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256File } from "@secai/formats/digest";
import type { Engine } from "../engine/engine.ts";
import { composePlan } from "../plan.ts";
import type { BootcRecipe } from "../recipe/recipe.ts";
import { loadSources, referencesOf } from "../sources.ts";
import type { FetchStep, Input, OutputRef, Step } from "../step.ts";
import { file, outputOf, programStep } from "../steps/exec.ts";
import { fetchStep, rootStep, toolRoot } from "../steps/root.ts";
import { fetchImageStep, machineName, unpackStep } from "../steps/silverblue.ts";
import { type BootcLock, type LockedImage, type LockedRpm, type LockedRpmRepository, lockedImage, nevra } from "./bootc-lock.ts";
import { LockError } from "./errors.ts";
import { lockedRoot } from "./lock.ts";
import type { OfferedRpm } from "./primary.ts";
import type { Workshop } from "./update-bootc.ts";

// Steps that a lock takes to be made: the same kind, in the same tool root and cache, as those of a build that follows.

/** Of no consequence for what these steps find out; a build has its own. */
const EPOCH = 1_000_000_000;

export interface WorkshopOptions {
  readonly top: string;
  readonly cacheDir: string;
  readonly recipe: BootcRecipe;
  /** Made once the programs of the steps are known. */
  readonly engine: (programPath: (name: string) => string) => Engine;
  readonly report: (line: string) => void;
  /** Steps that make the tool root; default: those of a build, from the lock. */
  readonly tools?: (lock: BootcLock) => readonly Step[];
  readonly signal?: AbortSignal;
}

const text = (value: object): Input => ({ kind: "text", content: canonicalJson(value) });

function toolSteps({ toolBase }: BootcRecipe, lock: BootcLock): Step[] {
  const { release, architecture } = toolBase;
  const tools = { kind: "host" } as const;
  return [
    fetchStep("build", lockedRoot(lock, "build")),
    rootStep({
      ...{ root: "build", title: "tool root for builds", suite: release, architecture, tools, sourceDateEpoch: EPOCH },
      docs: "drop",
      how: "unpacked",
    }),
  ];
}

const fetchIndexStep = ({ name, primary }: LockedRpmRepository): FetchStep => ({
  ...{ kind: "fetch", id: `fetch.index.${name}`, network: "fetch" },
  files: [{ name: basename(primary.path), archive: name, ...primary }],
});

function solveStep({ base, packages, remove }: BootcRecipe, { repositories }: BootcLock): Step {
  const index = ({ name, primary }: LockedRpmRepository) => `/in/index/${name}/${basename(primary.path)}`;
  const indexes = repositories.map((repository): [string, Input] => [
    `/in/index/${repository.name}`,
    { kind: "fetched", step: `fetch.index.${repository.name}` },
  ]);
  return programStep({
    id: "solve",
    title: "packages that go together",
    program: "rpm-solve",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/root": outputOf("base", "root"),
      ...Object.fromEntries(indexes),
      "/in/repositories.json": text(repositories.map((repository) => ({ name: repository.name, index: index(repository) }))),
    },
    flags: {
      root: "/in/root",
      database: base.database,
      repositories: "/in/repositories.json",
      install: packages.map(({ name }) => name).join(","),
      remove: remove.packages.join(","),
      architecture: machineName(base.architecture),
      out: "/out/solution.json",
    },
    outputs: { solution: file("/out/solution.json") },
    sourceDateEpoch: EPOCH,
  });
}

type Offer = OfferedRpm & { readonly repository: string };

function signatureSteps({ base }: BootcRecipe, offers: readonly Offer[]): Step[] {
  const files = offers.map(({ repository, path, size, sha256 }) => ({
    ...{ name: basename(path), archive: repository, path, size, sha256 },
  }));
  const check = programStep({
    id: "signatures",
    title: "who signed the packages",
    program: "rpm-signatures",
    tools: toolRoot,
    privileges: "tree",
    inputs: {
      "/in/root": outputOf("base", "root"),
      "/in/rpms": { kind: "fetched", step: "fetch.rpms" },
      "/in/keys.json": text(Object.fromEntries(base.repositories.map(({ name, keys }) => [name, keys]))),
      "/in/packages.json": text(offers.map(({ path, repository }) => ({ file: basename(path), repository }))),
    },
    flags: {
      ...{ root: "/in/root", keys: "/in/keys.json", packages: "/in/packages.json", rpms: "/in/rpms" },
      out: "/out/signers.json",
    },
    outputs: { signers: file("/out/signers.json") },
    sourceDateEpoch: EPOCH,
  });
  return [{ kind: "fetch", id: "fetch.rpms", network: "fetch", files }, check];
}

/** Paths in a tree that a pattern fits; `*` stands for parts of one segment. */
function matching(root: string, pattern: string): string[] {
  const slash = pattern.lastIndexOf("/");
  const [folder, name] = [pattern.slice(0, Math.max(0, slash)), pattern.slice(slash + 1)];
  const quoted = name.split("*").map((part) => part.replaceAll(/[.+]/g, "\\$&"));
  const fits = new RegExp(`^${quoted.join("[^/]*")}$`);
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder))
    .filter((entry) => fits.test(entry))
    .map((entry) => join(folder, entry));
}

async function lockedModules(root: string, patterns: readonly string[], image: string): Promise<LockedImage["packages"]> {
  const packages = [];
  for (const pattern of patterns) {
    const [path, ...others] = matching(root, pattern);
    if (path === undefined || others.length > 0) {
      const actual = path === undefined ? "none" : [path, ...others].join(", ");
      throw new LockError("LOCK_ARCHIVE_MISSING", { expected: `one file ${pattern} in ${image}`, actual });
    }
    packages.push({ file: path, sha256: await sha256File(join(root, path)) });
  }
  return packages;
}

interface SolutionFile {
  readonly problems: readonly string[];
  readonly install: readonly Offer[];
}

export function createWorkshop({ top, cacheDir, recipe, engine, report, tools, signal }: WorkshopOptions): Workshop {
  const makeTools = tools ?? ((lock: BootcLock) => toolSteps(recipe, lock));
  const run = async (lock: BootcLock, steps: readonly Step[], target: OutputRef): Promise<string> => {
    const sources = await loadSources(top, cacheDir, referencesOf(steps));
    const plan = composePlan({ recipe, lock, sourceDateEpoch: EPOCH }, sources, steps, {});
    const result = await engine((name) => sources.programPath(name)).run(plan, {
      targets: [target],
      report: (event) => void (event.type === "step-started" && report(event.title)),
      ...(signal === undefined ? {} : { signal }),
    });
    return result.pathOf(target);
  };
  const unpack = (image: LockedImage, id: string): Step[] => [
    fetchImageStep(image),
    unpackStep({ id, title: image.name, image, architecture: recipe.base.architecture, sourceDateEpoch: EPOCH }),
  ];
  return {
    async findModules(image, patterns, lock) {
      const steps = [...makeTools(lock), ...unpack(image, image.name)];
      return await lockedModules(await run(lock, steps, outputOf(image.name, "root")), patterns, image.repository);
    },
    async resolveRpms(lock) {
      const base = [...makeTools(lock), ...unpack(lockedImage(lock, "base"), "base")];
      const solving = [...base, ...lock.repositories.map(fetchIndexStep), solveStep(recipe, lock)];
      const solution = JSON.parse(readFileSync(await run(lock, solving, outputOf("solve", "solution")), "utf8")) as SolutionFile;
      if (solution.problems.length > 0)
        throw new LockError("LOCK_UNRESOLVABLE", {
          expected: `packages of ${recipe.id} that go onto its base`,
          actual: solution.problems.slice(0, 10).join("; "),
        });
      if (solution.install.length === 0) return [];
      const checking = [...base, ...signatureSteps(recipe, solution.install)];
      const signers = JSON.parse(readFileSync(await run(lock, checking, outputOf("signatures", "signers")), "utf8")) as Readonly<
        Record<string, string>
      >;
      return solution.install.map((offer): LockedRpm => {
        const signingKey = signers[basename(offer.path)];
        if (signingKey === undefined) throw new TypeError(`no signer of ${nevra(offer)}`);
        return { ...offer, signingKey };
      });
    },
  };
}
