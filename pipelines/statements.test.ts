import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { parseProvenance, reproducibleDigest } from "@secai/formats/provenance";
import { beforeAll, describe, expect, test } from "vitest";
import { resolveStep } from "./engine/resolve.ts";
import { loadLock } from "./lock/load.ts";
import { type Lock, lockPath } from "./lock/lock.ts";
import { plan, planSteps } from "./plan.ts";
import { type DebianRecipe, loadRecipeSource, type RecipeSource, requireDebian } from "./recipe/recipe.ts";
import { referencesOf } from "./sources.ts";
import { type BuildRecords, provenanceOf } from "./statements.ts";
import type { OutputRecord, OutputRef, Plan, StepRecord } from "./step.ts";
import type { NpmLock } from "./steps/closure.ts";

const top = dirname(import.meta.dirname);
const recipeId = "debian-13";
// The repository's own recipe and lock; only what lies on a disk is made up.
let source: RecipeSource<DebianRecipe>;
let lock: Lock;
let made: Plan;
const digests = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, sha256(`content of ${name}`)]));

beforeAll(async () => {
  const read = await loadRecipeSource(top, `recipes/${recipeId}.yaml`);
  source = { ...read, recipe: requireDebian(read.recipe) };
  lock = await loadLock(join(top, lockPath(recipeId)));
  const inputs = {
    ...{ recipe: source.recipe, lock, sourceDateEpoch: 1_760_000_000 },
    npm: JSON.parse(readFileSync(join(top, "package-lock.json"), "utf8")) as NpmLock,
    keys: {
      publicFiles: { "PK.crt": "PK", "KEK.crt": "KEK", "db.crt": "db", "pcr.pub": "pcr", guid: "guid" },
      identity: (name: string) => sha256(name),
    },
  };
  const { sources, programs } = referencesOf(planSteps(inputs));
  made = plan(inputs, { files: digests(sources), programs: digests(programs) });
});

/** Records of a run that made every step at `hour`, as the engine keeps them. */
function recordsOf(hour: number, engine = "local"): StepRecord[] {
  const outputs = new Map<string, OutputRecord>();
  const at = (minute: number) => `2026-01-01T${String(hour).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}:00.000Z`;
  return made.steps.map((step, index) => {
    const lookup = ({ step: id, output }: OutputRef): OutputRecord => outputs.get(`${id}/${output}`) as OutputRecord;
    const resolved = resolveStep(made, step, lookup, "sandbox");
    const own = step.kind === "exec" ? Object.keys(step.outputs) : [];
    const record = (name: string): OutputRecord => ({
      digest: sha256(`${step.id}/${name} ${resolved.key}`),
      type: "file",
      size: 1,
    });
    const results = Object.fromEntries(own.map((name) => [name, record(name)]));
    for (const [name, result] of Object.entries(results)) outputs.set(`${step.id}/${name}`, result);
    return {
      ...{ id: step.id, key: resolved.key, step, inputs: resolved.inputs, outputs: results, engine, drift: [] },
      ...{ startedOn: at(index), finishedOn: at(index + 1), cached: hour % 2 === 0 },
    };
  });
}

const build = (change: Partial<BuildRecords> = {}): BuildRecords => ({
  prepared: { plan: made, source, lock },
  result: { records: recordsOf(1) },
  engine: "local",
  drift: [],
  ...change,
});

const provenance = (change: Partial<BuildRecords> = {}, where = top) => provenanceOf(build(change), where, "dev");
const dependenciesIn = (statement = provenance()) => parseProvenance(statement).buildDefinition.resolvedDependencies;

/** What a build must have read, from lock, plan and repository, not from records. */
function expectedNames(): string[] {
  const debs = [...lockedDebs(), ...(lock.npm ?? [])].map(({ path }) => path.slice(path.lastIndexOf("/") + 1));
  const texts = made.steps.flatMap((step) =>
    step.kind === "exec"
      ? Object.entries(step.inputs).flatMap(([path, { kind }]) => (kind === "text" ? [`text:${step.id}:${path}`] : []))
      : [],
  );
  const commit = spawnSync("git", ["-C", top, "rev-parse", "HEAD"]).status === 0 ? ["repository"] : [];
  return [
    ...[source.files.at(-1)?.file ?? "", lockPath(recipeId), ...commit, "host:os-release"],
    ...new Set(debs),
    ...Object.keys(made.sources),
    ...Object.keys(made.programs).map((name) => `program:${name}`),
    ...texts,
    ...["key:db.key", "key:pcr.key"],
  ].sort();
}

/** Of every root but the one for machines, which no image is made of. */
const lockedDebs = () => Object.entries(lock.roots).flatMap(([root, packages]) => (root === "machine" ? [] : packages));

describe("resolved dependencies", () => {
  test("are what locks, sources, modules, programs, keys and commit say, in names and number, and nothing else", () => {
    const names = dependenciesIn().map(({ name }) => name);
    expect(names.toSorted()).toEqual(expectedNames());
  });

  test("carry the lock's digest and a package URL for every Debian package", () => {
    const packages = new Map(dependenciesIn().map(({ name, uri, digest }) => [name, { uri, sha256: digest.sha256 }]));
    for (const { name, version, architecture, path, sha256: digest } of lockedDebs()) {
      const found = packages.get(path.slice(path.lastIndexOf("/") + 1));
      expect(found?.sha256, name).toBe(digest);
      const url = `pkg:deb/debian/${encodeURIComponent(name)}@`;
      expect(found?.uri?.startsWith(url), found?.uri).toBe(true);
      expect(found?.uri, name).toMatch(/@\S+\?arch=\w+$/);
      // The archive leaves the epoch out of file names.
      expect(decodeURIComponent(found?.uri?.slice(url.length) ?? "")).toBe(
        `${version.replace(/^\d+:/, "")}?arch=${architecture}`,
      );
    }
  });

  test("carry a package URL for every npm module, also for single files of one", () => {
    const uris = new Map(dependenciesIn().map(({ name, uri }) => [name, uri]));
    const modules = Object.keys(made.sources).filter((path) => path.startsWith("node_modules/"));
    expect(modules.length).toBeGreaterThan(2);
    for (const path of modules) expect(uris.get(path), path).toMatch(/^pkg:npm\/[^@]+@\d+\.\d+\.\d+\S*$/);
    expect(uris.get(modules.find((path) => path.endsWith("/bin/node")) ?? "")).toMatch(
      /^pkg:npm\/node-linux-\w+@[\d.]+#bin\/node$/,
    );
  });

  test("never name what the build made", () => {
    const outputs = new Set(
      recordsOf(1).flatMap((record) => Object.values(record.outputs).map(({ digest }) => digest as string)),
    );
    expect(dependenciesIn().filter(({ digest }) => outputs.has(digest.sha256 ?? ""))).toEqual([]);
  });

  test("without a repository there is no commit, and nothing else is missing", () => {
    const copy = mkdtempSync(join(tmpdir(), "secai-provenance-"));
    try {
      writeFileSync(join(copy, "package-lock.json"), readFileSync(join(top, "package-lock.json")));
      const names = dependenciesIn(provenance({}, copy)).map(({ name }) => name);
      expect(names.toSorted()).toEqual(expectedNames().filter((name) => name !== "repository"));
    } finally {
      rmSync(copy, { recursive: true });
    }
  });
});

test("every step is a byproduct with its key and its outputs; every file of the release is a subject, but the index that signatures are added to", () => {
  const statement = provenance();
  const byproducts = parseProvenance(statement).runDetails.byproducts ?? [];
  const records = recordsOf(1);
  expect(byproducts.map(({ name }) => name)).toEqual(records.map(({ id }) => `step:${id}`).toSorted());
  const seal = records.find(({ id }) => id === "seal");
  expect(byproducts.find(({ name }) => name === "step:seal")).toEqual({
    name: "step:seal",
    digest: { sha256: seal?.key },
    annotations: {
      "output.rootHash": `sha256:${seal?.outputs.rootHash?.digest}`,
      "output.sealed": `sha256:${seal?.outputs.sealed?.digest}`,
    },
  });
  const outputs = Object.entries(made.outputs).filter(([name]) => name !== "oci/index.json");
  const shipped = outputs.map(([, { step, output }]) => records.find(({ id }) => id === step)?.outputs[output]?.digest);
  expect(statement.subject.map(({ digest }) => digest.sha256).toSorted()).toEqual(shipped.toSorted());
});

describe("two runs of one build", () => {
  test("differ in invocation times only, and the reproducible digest does not", () => {
    const [first, second] = [provenance(), provenance({ result: { records: recordsOf(2) } })];
    expect(second).not.toEqual(first);
    expect(second.predicate.runDetails.metadata).toMatchObject({
      startedOn: "2026-01-01T02:00:00.000Z",
      invocationId: first.predicate.runDetails.metadata.invocationId,
    });
    expect(reproducibleDigest(second)).toBe(reproducibleDigest(first));
  });

  const changes: readonly { readonly name: string; readonly change: () => ReturnType<typeof provenance> }[] = [
    { name: "another engine", change: () => provenance({ engine: "dagger" }) },
    { name: "another designation", change: () => provenanceOf(build(), top, "stable") },
    { name: "drift", change: () => provenance({ drift: [drifted] }) },
    { name: "another output", change: () => provenance({ result: { records: withOutput("uki", sha256("other")) } }) },
    {
      name: "another output that does not ship",
      change: () => provenance({ result: { records: withOutput("initrd", sha256("x")) } }),
    },
    {
      name: "a step less",
      change: () => provenance({ result: { records: recordsOf(1).filter(({ id }) => id !== "baseline") } }),
    },
  ];
  for (const { name, change } of changes) {
    test(`${name} shows in the reproducible digest`, () =>
      expect(reproducibleDigest(change())).not.toBe(reproducibleDigest(provenance())));
  }
});

const drifted = { root: "image", name: "bash", locked: "5.2-1", resolved: "5.2-2" } as const;

function withOutput(step: string, digest: Sha256): StepRecord[] {
  const change = (outputs: StepRecord["outputs"]) =>
    Object.fromEntries(
      Object.entries(outputs).map(([name, output], index) => [name, index === 0 ? { ...output, digest } : output]),
    );
  return recordsOf(1).map((record) => (record.id === step ? { ...record, outputs: change(record.outputs) } : record));
}

test.each(["dev", "candidate", "stable"] as const)("the designation %s and drift are visible", (designation) => {
  const { buildDefinition } = parseProvenance(provenanceOf(build({ drift: [drifted] }), top, designation));
  expect(buildDefinition.externalParameters.designation).toBe(designation);
  expect(buildDefinition.internalParameters.drift).toEqual(["image/bash 5.2-1 -> 5.2-2"]);
});
