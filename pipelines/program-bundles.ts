import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import type { BuildOptions } from "esbuild";
import { PipelineError } from "./errors.ts";
import type { StatCache } from "./stat-cache.ts";

/** How programs of pipelines/programs become a single ESM file for the pinned Node. */
const OPTIONS = {
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node24",
  legalComments: "none",
  write: false,
  metafile: true,
  logLevel: "silent",
  // An optional peer of the CycloneDX library, for validation in XML, which no program does.
  external: ["libxmljs2"],
  banner: { js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire("file:///in/");' },
} as const satisfies BuildOptions;

/** What says how imports are resolved, besides the package.json files on the way to each input. */
const SETTINGS = ["package-lock.json", "tsconfig.json", "node_modules/esbuild/package.json"] as const;

/** A file changed this shortly before it was read may have changed again within the same tick of the file system's clock. */
const RACY_MS = 2000;

/** A bundle and everything it was made of, by path from the top of the repository. */
interface Made {
  readonly inputs: Readonly<Record<string, Sha256>>;
  readonly digest: Sha256;
}

export interface ProgramBundle {
  readonly path: string;
  readonly digest: Sha256;
}

export interface ProgramBundler {
  /** @throws PipelineError SOURCE_MISSING */
  bundle(name: string): Promise<ProgramBundle>;
  save(): void;
}

/**
 * Bundles programs, and again only when something that went into a bundle has changed. Bundles lie below the cache by digest, which
 * the engine checks before it runs one.
 */
export function createProgramBundler(top: string, cacheDir: string, stats: StatCache): ProgramBundler {
  const folder = join(cacheDir, "programs");
  const index = join(cacheDir, "program-bundles.json");
  const known = readIndex(index);
  let changed = false;
  const digestOf = (path: string): Sha256 | undefined =>
    lstatSync(join(top, path), { throwIfNoEntry: false })?.isFile() === true ? stats.digest(join(top, path)) : undefined;
  const options = sha256(JSON.stringify(OPTIONS));
  const isFresh = ({ inputs, digest }: Made, path: string): boolean =>
    inputs[""] === options &&
    Object.entries(inputs).every(([input, wanted]) => input === "" || digestOf(input) === wanted) &&
    lstatSync(path, { throwIfNoEntry: false })?.isFile() === true &&
    stats.digest(path) === digest;
  const pathOf = (name: string, digest: Sha256): string => join(folder, `${name}-${digest.slice(0, 16)}.mjs`);

  return {
    async bundle(name) {
      const made = known[name];
      if (made !== undefined && isFresh(made, pathOf(name, made.digest))) {
        const path = pathOf(name, made.digest);
        markUsed(path);
        return { path, digest: made.digest };
      }
      const startedMs = Date.now();
      const { code, inputs } = await bundleProgram(top, name);
      const digest = sha256(code);
      const path = pathOf(name, digest);
      writeOnce(path, code);
      const files = [...new Set([...SETTINGS, ...inputs, ...inputs.flatMap((input) => packageFiles(top, input))])].sort();
      const isQuiet = files.every((file) => lstatSync(join(top, file)).mtimeMs < startedMs - RACY_MS);
      if (isQuiet) {
        const digests = files.map((file) => [file, stats.digest(join(top, file))] as const);
        known[name] = { inputs: { "": options, ...Object.fromEntries(digests) }, digest };
        changed = true;
      }
      return { path, digest };
    },
    save() {
      if (!changed) return;
      writeFileSync(`${index}.${process.pid}`, JSON.stringify(known));
      renameSync(`${index}.${process.pid}`, index);
    },
  };
}

/** A missing or damaged index only costs bundling again. */
function readIndex(path: string): Record<string, Made> {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Record<string, Made>;
  } catch {
    return {};
  }
}

/** The package.json files that decide how an input is found and read: those of the folders above it. */
function packageFiles(top: string, input: string): string[] {
  const parent = dirname(input);
  if (parent === ".") return existsSync(join(top, "package.json")) ? ["package.json"] : [];
  const file = join(parent, "package.json");
  return [...(existsSync(join(top, file)) ? [file] : []), ...packageFiles(top, parent)];
}

/** esbuild is loaded when there is something to bundle: a plan of unchanged sources does without. */
async function bundleProgram(top: string, name: string): Promise<{ code: Buffer; inputs: readonly string[] }> {
  const { build } = await import("esbuild");
  const entryPoints = [`pipelines/programs/${name}.ts`];
  const { outputFiles, metafile } = await build({ ...OPTIONS, external: [...OPTIONS.external], absWorkingDir: top, entryPoints });
  const [output] = outputFiles;
  if (output === undefined) throw new PipelineError("SOURCE_MISSING", { expected: `program ${name}`, actual: "no output" });
  return { code: Buffer.from(output.contents), inputs: Object.keys(metafile.inputs) };
}

/** The cache drops what was used least recently, perhaps between the plan and the step that runs this. */
function markUsed(path: string): void {
  const now = new Date();
  utimesSync(path, now, now);
}

function writeOnce(path: string, code: Buffer): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.size === code.length) {
    markUsed(path);
    return;
  }
  // A program may stand in a folder of its own: "silverblue/base".
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, code);
  renameSync(`${path}.${process.pid}`, path);
}
