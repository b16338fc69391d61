import { lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { build } from "esbuild";
import { sourceDigest } from "./engine/source-digest.ts";
import { PipelineError } from "./errors.ts";
import type { Step } from "./step.ts";

/** What a list of steps reads from the repository. */
export interface References {
  readonly sources: readonly string[];
  readonly programs: readonly string[];
}

export function referencesOf(steps: readonly Step[]): References {
  const inputs = steps.flatMap((step) => (step.kind === "exec" ? Object.values(step.inputs) : []));
  const sources = inputs.flatMap((input) => (input.kind === "source" ? [input.path] : []));
  const programs = inputs.flatMap((input) => (input.kind === "program" ? [input.name] : []));
  return { sources: [...new Set(sources)].sort(), programs: [...new Set(programs)].sort() };
}

/** Digests of files by what stat says of them, as git's index does: an unchanged file is not read again. */
interface StatCache {
  digest(path: string): Sha256;
  save(): void;
}

function openStatCache(file: string): StatCache {
  let known: Record<string, { stamp: string; sha256: Sha256 }> = {};
  try {
    known = JSON.parse(readFileSync(file, "utf8")) as typeof known;
  } catch {
    // A missing or damaged cache only costs reading the files again.
  }
  let changed = false;
  return {
    digest(path) {
      const stat = lstatSync(path, { bigint: true });
      const stamp = `${stat.ino}.${stat.size}.${stat.mtimeNs}.${stat.ctimeNs}`;
      const entry = known[path];
      if (entry?.stamp === stamp) return entry.sha256;
      changed = true;
      const digest = sha256(readFileSync(path));
      known[path] = { stamp, sha256: digest };
      return digest;
    },
    save() {
      if (!changed) return;
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(`${file}.${process.pid}`, JSON.stringify(known));
      renameSync(`${file}.${process.pid}`, file);
    },
  };
}

/** @throws PipelineError SOURCE_MISSING */
function digestOf(top: string, path: string, cache: StatCache): Sha256 {
  const full = join(top, path);
  if (lstatSync(full, { throwIfNoEntry: false }) === undefined) {
    throw new PipelineError("SOURCE_MISSING", { expected: path, actual: "no such file or folder" });
  }
  return sourceDigest(full, (file) => cache.digest(file));
}

/** Bundles one program of pipelines/programs to a single ESM file for the pinned Node. */
async function bundleProgram(top: string, name: string): Promise<Buffer> {
  const result = await build({
    absWorkingDir: top,
    entryPoints: [`pipelines/programs/${name}.ts`],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    legalComments: "none",
    write: false,
    logLevel: "silent",
    // An optional peer of the CycloneDX library, for validation in XML, which no program does.
    external: ["libxmljs2"],
    banner: { js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire("file:///in/");' },
  });
  const [output] = result.outputFiles;
  if (output === undefined) throw new PipelineError("SOURCE_MISSING", { expected: `program ${name}`, actual: "no output" });
  return Buffer.from(output.contents);
}

export interface Sources {
  readonly files: Readonly<Record<string, Sha256>>;
  readonly programs: Readonly<Record<string, Sha256>>;
  /** Where the bundled program lies. */
  programPath(name: string): string;
}

/**
 * Reads what the steps refer to. Bundled programs are kept below the cache, by digest.
 * @throws PipelineError SOURCE_MISSING
 */
export async function loadSources(top: string, cacheDir: string, { sources, programs }: References): Promise<Sources> {
  const cache = openStatCache(join(cacheDir, "source-digests.json"));
  const files = Object.fromEntries(sources.map((path) => [path, digestOf(top, path, cache)]));
  cache.save();
  const folder = join(cacheDir, "programs");
  mkdirSync(folder, { recursive: true });
  const digests: Record<string, Sha256> = {};
  const paths = new Map<string, string>();
  await Promise.all(
    programs.map(async (name) => {
      const code = await bundleProgram(top, name);
      const digest = sha256(code);
      const path = join(folder, `${name}-${digest.slice(0, 16)}.mjs`);
      if (lstatSync(path, { throwIfNoEntry: false })?.size !== code.length) {
        writeFileSync(`${path}.${process.pid}`, code);
        renameSync(`${path}.${process.pid}`, path);
      }
      digests[name] = digest;
      paths.set(name, path);
    }),
  );
  const programPath = (name: string) => {
    const path = paths.get(name);
    if (path === undefined) throw new PipelineError("PLAN_UNRESOLVED", { expected: `program ${name}`, actual: "not bundled" });
    return path;
  };
  return { files, programs: digests, programPath };
}
