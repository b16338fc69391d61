import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type Provenance, parseProvenance, reproducibleDigest } from "@secai/formats/provenance";
import type { Rebuild } from "@secai/formats/rebuild";
import { MANIFEST_FILE, PROVENANCE_FILE } from "@secai/formats/release-layout";
import { parseStatement, type Statement } from "@secai/formats/statement";
import { LOCAL_BUILDER_ID } from "@secai/formats/uris";
import { type Build, build } from "@secai/pipelines/build";
import { cacheDirectory } from "@secai/pipelines/engine/command";
import { mayBecome } from "@secai/pipelines/file-names";
import type { CommandIo } from "@secai/pipelines/io";
import { prepare, requestOf } from "@secai/pipelines/prepare";
import { reported } from "@secai/pipelines/progress/reported";
import { provenanceOf, releaseFiles } from "@secai/pipelines/statements";
import { answer, directoryFrom, ownSigners, parseOptions } from "@secai/release/commands/options";
import { ReleaseError } from "@secai/release/errors";
import { requireVerified, TRUST_HELP, trustOptions } from "@secai/release/gate/gate";
import { compareBuilds } from "@secai/release/rebuild/compare";
import { signRebuild } from "@secai/release/rebuild/statement";

const help = `secai rebuild DIR: builds a release again from its provenance and says, signed, whether the result is the same.

Verifies the release, checks that this checkout holds the sources, recipe and lock that the provenance names, builds everything in a new cache
(only downloaded packages are taken over) and compares each file. Writes the verdict as a signed statement: match; explained (other keys than
the maker's, and only files that depend on keys differ); differs.

  --out FILE            where the signed verdict goes (default: rebuild-RECIPE-VERSION.sigstore.json)
  --json                one JSON document on standard output
${TRUST_HELP}

Examples:
  secai rebuild out/debian-13/0.1.0
  secai rebuild ./secai-1.2.0 --key release.pub --out verdict.sigstore.json

Exit status: 0 match or explained, 1 differs or refused by the verifier, 2 wrong use or another source, 3 the verifier lacks something.
`;

const options = {
  ...trustOptions,
  out: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** The sources here are not those that the release was built from. */
function otherSources(expected: string, actual: string, fix: string): ReleaseError {
  return new ReleaseError("REBUILD_SOURCES_DIFFER", { expected, actual, fix });
}

interface Original {
  readonly statement: Statement<Provenance>;
  readonly provenance: Provenance;
  /** Digest of what was built, by file. */
  readonly files: ReadonlyMap<string, string>;
  readonly manifestDigest: string;
}

function readOriginal(dir: string): Original {
  const statement = parseStatement(readFileSync(join(dir, PROVENANCE_FILE)));
  const provenance = parseProvenance(statement);
  return {
    statement: { ...statement, predicate: provenance },
    provenance,
    files: new Map(statement.subject.map(({ name, digest }) => [name, digest.sha256])),
    manifestDigest: sha256(readFileSync(join(dir, MANIFEST_FILE))),
  };
}

const digestsOf = ({ buildDefinition }: Provenance) =>
  new Map(buildDefinition.resolvedDependencies.map(({ name, uri, digest }) => [`${name} ${uri ?? ""}`, JSON.stringify(digest)]));
const isKey = (name: string) => name.startsWith("key:");

/** @throws ReleaseError REBUILD_SOURCES_DIFFER: an hour of building would only say it later */
async function requireSources({ provenance }: Original, io: CommandIo): Promise<void> {
  const { recipe, lock, designation } = provenance.buildDefinition.externalParameters;
  const { plan } = await prepare({ ...requestOf(io, recipe.name), designation });
  const commit = provenance.buildDefinition.resolvedDependencies.find(({ name }) => name === "repository")?.digest.gitCommit;
  const fix = commit === undefined ? "Check out the sources of this release." : `Run: git checkout ${commit}`;
  if (plan.recipe.digest !== recipe.sha256) throw otherSources(`${recipe.path} ${recipe.sha256}`, plan.recipe.digest, fix);
  if (plan.recipe.lockDigest !== lock.sha256) throw otherSources(`${lock.path} ${lock.sha256}`, plan.recipe.lockDigest, fix);
  const known = new Map(provenance.buildDefinition.resolvedDependencies.map(({ name, digest }) => [name, digest.sha256]));
  const other = Object.entries(plan.sources).find(([path, digest]) => known.has(path) && known.get(path) !== digest);
  if (other !== undefined) throw otherSources(`${other[0]} ${known.get(other[0])}`, other[1], fix);
}

/** A cache that holds nothing but downloads; hard links, so that they take no room. */
function freshCache(env: NodeJS.ProcessEnv): string {
  const own = cacheDirectory(env);
  mkdirSync(own, { recursive: true });
  const dir = mkdtempSync(join(dirname(own), "secai-rebuild-"));
  const blobs = join(own, "blobs");
  if (existsSync(blobs)) spawnSync("cp", ["--archive", "--link", blobs, join(dir, "blobs")], { stdio: "ignore" });
  return dir;
}

async function buildAgain(original: Original, cacheDir: string, io: CommandIo, json: boolean): Promise<Build> {
  const { recipe, designation } = original.provenance.buildDefinition.externalParameters;
  const files = [...original.files.keys()];
  return await reported(io, (run) =>
    build({
      ...run,
      ...{ top: io.top, recipe: recipe.name, designation, channel: "release" },
      env: { ...io.env, SECAI_CACHE: cacheDir },
      notice: (line) => io.stderr(json ? "" : `${line}\n`),
      targets: ({ outputs }) =>
        Object.entries(outputs).flatMap(([name, ref]) => (files.some((file) => mayBecome(name, file)) ? [ref] : [])),
    }),
  );
}

/** Build keys whose public half is not the one that the release was made with. */
function otherKeys(before: Provenance, again: Provenance): readonly string[] {
  const digests = digestsOf(again);
  const other = [...digestsOf(before)].filter(([name, digest]) => isKey(name) && digests.get(name) !== digest);
  return other.map(([name]) => name.slice("key:".length).trim());
}

/** `secai rebuild`. @throws ReleaseError, GateError, SignError, and what a build throws */
export async function runRebuild(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseOptions(args, options);
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const { dir } = directoryFrom(positionals);
  const report = await requireVerified(dir, values, io.env);
  const original = readOriginal(dir);
  await requireSources(original, io);
  const { signers } = await ownSigners(io);
  const startedOn = new Date().toISOString();
  const cacheDir = freshCache(io.env);
  try {
    const made = await buildAgain(original, cacheDir, io, values.json === true);
    const actual = new Map(
      [...releaseFiles(made.prepared.plan, made.result.records)].map(([name, { digest }]) => [name, digest]),
    );
    const { recipe, version, designation } = original.provenance.buildDefinition.externalParameters;
    const again = provenanceOf(made, io.top, designation);
    const keys = otherKeys(original.provenance, again.predicate);
    const comparison = compareBuilds({ expected: original.files, actual, otherKeys: keys });
    const rebuild: Rebuild = {
      ...comparison,
      ...{ recipe: recipe.name, version, manifest: { sha256: original.manifestDigest }, builder: { id: LOCAL_BUILDER_ID } },
      provenance: { expected: reproducibleDigest(original.statement), actual: reproducibleDigest(again) },
      ...{ startedOn, finishedOn: new Date().toISOString() },
    };
    const out = resolve(values.out ?? `rebuild-${recipe.name}-${version}.sigstore.json`);
    writeFileSync(out, await signRebuild(rebuild, original.files, signers.release[0]));
    answer(io, values.json, { target: report.target, statement: out, ...rebuild }, textOf(rebuild, out));
    return comparison.verdict === "differs" ? 1 : 0;
  } finally {
    rmSync(cacheDir, { recursive: true, force: true, maxRetries: 20 });
  }
}

function textOf({ verdict, same, differing }: Rebuild, out: string): string {
  const lines = differing.map(
    ({ name, expected, actual, reason }) =>
      `  ${name}: ${expected} became ${actual ?? "nothing"}${reason === undefined ? "" : `; ${reason}`}\n`,
  );
  return `${verdict}: ${same.length} files the same, ${differing.length} not\n${lines.join("")}signed verdict: ${out}\n`;
}
