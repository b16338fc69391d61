import { spawnSync } from "node:child_process";
import type { JsonValue } from "@secai/formats/canonical-json";
import { canonicalJson } from "@secai/formats/canonical-json";
import type { Designation } from "@secai/formats/designation";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { buildProvenance, type Provenance, type Resource } from "@secai/formats/provenance";
import { OCI_INDEX_FILE } from "@secai/formats/release-layout";
import { type Statement, subjectOf } from "@secai/formats/statement";
import { LOCAL_BUILDER_ID } from "@secai/formats/uris";
import type { RunResult } from "./engine/engine.ts";
import { fileNameOf } from "./file-names.ts";
import type { DriftedPackage } from "./lock/drift.ts";
import { lockPath, NPM_ARCHIVE } from "./lock/lock.ts";
import { npmPackages } from "./npm-packages.ts";
import type { Prepared } from "./prepare.ts";
import type { FetchStep, OutputRecord, OutputRef, Plan, ResolvedInput, StepRecord } from "./step.ts";

/** `name` and digest of one thing that a build read. */
const resource = (name: string, digest: Sha256, uri?: string): Resource => ({
  name,
  digest: { sha256: digest },
  ...(uri === undefined ? {} : { uri }),
});

/** Package URL of a Debian package file (purl specification, type deb). */
function debUri(fileName: string): string | undefined {
  const [, name, version, architecture] = /^([a-z0-9][a-z0-9.+-]*)_([^_]+)_([a-z0-9]+)\.deb$/.exec(fileName) ?? [];
  if (name === undefined || version === undefined) return undefined;
  return `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(decodeURIComponent(version))}?arch=${architecture}`;
}

/** Package URL of a tarball by its place below the registry's root (purl specification, type npm). */
function tarballUri(path: string): string | undefined {
  const [, name, version] = /^((?:@[^/]+\/)?[^/]+)\/-\/[^/]*?-([0-9]+\.[0-9]+\.[0-9]+[^/]*)\.tgz$/.exec(path) ?? [];
  return name === undefined ? undefined : `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

const fetchedFiles = ({ files }: FetchStep): Resource[] =>
  files.map(({ archive, name, path, sha256: digest }) =>
    resource(name, digest, archive === NPM_ARCHIVE ? tarballUri(path) : debUri(name)),
  );

type NpmPackages = ReadonlyMap<string, string>;

/** Package URL of an npm package, or of a file in one, by its path in the repository; the innermost package counts. */
function npmUri(path: string, npm: NpmPackages): string | undefined {
  for (let folder = path; folder !== ""; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/")))) {
    const uri = npm.get(folder);
    if (uri !== undefined) return folder === path ? uri : `${uri}#${path.slice(folder.length + 1)}`;
  }
  return undefined;
}

/** What a step read that no other step made. Keys appear by the digest of their public half. */
function outsideInputs(step: string, inputs: readonly ResolvedInput[], npm: NpmPackages): Resource[] {
  return inputs.map((input) => outsideInput(step, input, npm)).filter((entry) => entry !== undefined);
}

function outsideInput(step: string, { kind, path, name, digest }: ResolvedInput, npm: NpmPackages): Resource | undefined {
  switch (kind) {
    case "source":
      return resource(name, digest, npmUri(name, npm));
    case "program":
      return resource(`program:${name}`, digest);
    case "secret":
      return resource(`key:${name}`, digest);
    case "text":
      return resource(`text:${step}:${path}`, digest);
    // Made on the machine's own tools, of which a record knows the release of the operating system.
    case "tools":
      return name === "host" ? resource("host:os-release", digest) : undefined;
    case "output":
    case "fetched":
      return undefined;
  }
}

const identity = ({ name, uri, digest }: Resource) => canonicalJson({ name, uri: uri ?? null, digest } as JsonValue);

/** Everything the build read, once each. */
function dependencies(records: readonly StepRecord[], npm: NpmPackages): Resource[] {
  const all = records.flatMap(({ id, step, inputs }) =>
    step.kind === "fetch" ? fetchedFiles(step) : outsideInputs(id, inputs, npm),
  );
  return [...new Map(all.map((entry) => [identity(entry), entry])).values()];
}

/** The commit that was built, when the checkout has one; local changes show as digests of the sources, which are dependencies. */
function commit(top: string): Resource[] {
  const result = spawnSync("git", ["-C", top, "rev-parse", "HEAD"], { encoding: "utf8" });
  const id = result.status === 0 ? result.stdout.trim() : "";
  return /^[0-9a-f]{40}$/.test(id) ? [{ name: "repository", digest: { gitCommit: id } }] : [];
}

/** An output that was built, and where it came from. */
export type BuiltFile = OutputRecord & { readonly ref: OutputRef };

/** Files of the release that were built, by name. */
export function releaseFiles({ outputs }: Plan, records: readonly StepRecord[]): ReadonlyMap<string, BuiltFile> {
  const byId = new Map(records.map((record) => [record.id, record]));
  const files = Object.entries(outputs).flatMap(([name, ref]): [string, BuiltFile][] => {
    const record = byId.get(ref.step)?.outputs[ref.output];
    return record === undefined ? [] : [[fileNameOf(name, record.digest), { ...record, ref }]];
  });
  return new Map(files);
}

/** A step by the digest of all that went into it, with what came out: what a second build can be compared with, step by step. */
function byproduct({ id, key, step, outputs }: StepRecord): Resource {
  const made = Object.entries(outputs).map(([name, { digest }]) => [`output.${name}`, `sha256:${digest}`]);
  const kept = step.kind === "fetch" ? [] : Object.entries(step.caches ?? {}).map(([path, { name }]) => [`cache.${name}`, path]);
  const said = [...made, ...kept];
  return { ...resource(`step:${id}`, key), ...(said.length === 0 ? {} : { annotations: Object.fromEntries(said) }) };
}

/** What provenance is made of: the part of a `Build` that was recorded. */
export interface BuildRecords {
  readonly prepared: Pick<Prepared, "plan" | "source" | "lock">;
  readonly result: Pick<RunResult, "records">;
  readonly engine: string;
  readonly drift: readonly DriftedPackage[];
}

const time = (records: readonly StepRecord[], pick: (record: StepRecord) => string) => records.map(pick).sort();

/**
 * SLSA provenance, from the records of the steps and nothing else: what is not in a record did not happen.
 * @throws FormatError SCHEMA_MISMATCH, DUPLICATE_ENTRY
 */
export function provenanceOf(
  { prepared, result, engine, drift }: BuildRecords,
  top: string,
  designation: Designation,
): Statement<Provenance> {
  const { plan, source, lock } = prepared;
  const { records } = result;
  const recipePath = source.files.at(-1)?.file ?? source.recipe.id;
  return buildProvenance({
    recipe: { name: plan.recipe.id, path: recipePath, sha256: plan.recipe.digest },
    lock: { path: lockPath(lock.recipe), sha256: plan.recipe.lockDigest },
    version: plan.recipe.version,
    designation,
    sourceDateEpoch: plan.sourceDateEpoch,
    engine,
    drift: drift.map(({ root, name, locked, resolved }) => `${root}/${name} ${locked ?? "none"} -> ${resolved ?? "none"}`),
    dependencies: [...commit(top), ...dependencies(records, npmPackages(top))],
    byproducts: records.map(byproduct),
    builder: { id: LOCAL_BUILDER_ID, version: { "secai-os": plan.recipe.version, node: process.version.slice(1) } },
    metadata: {
      invocationId: sha256(canonicalJson(records.map(({ key }) => key))),
      startedOn: time(records, ({ startedOn }) => startedOn)[0] ?? "",
      finishedOn: time(records, ({ finishedOn }) => finishedOn).at(-1) ?? "",
    },
    // Signatures of the OCI image are added to its index later; the manifest that it names is a subject.
    subjects: [...releaseFiles(plan, records)]
      .filter(([name]) => name !== OCI_INDEX_FILE)
      .map(([name, { digest }]) => subjectOf(name, digest)),
  });
}
