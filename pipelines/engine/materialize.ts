import { copyFile, link, lstat, mkdir, rename, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Sha256, sha256, sha256File } from "@secai/formats/digest";
import type { ExecStep, FetchStep, Input, OutputRef, Plan } from "../step.ts";
import { exists } from "./blob-store.ts";
import type { Cache } from "./cache.ts";
import { EngineError } from "./errors.ts";
import { findFetchStep } from "./resolve.ts";
import type { Bind } from "./sandbox.ts";
import { copySource, sourceDigest } from "./source-digest.ts";

/** Where things outside of the cache lie. */
export interface Surroundings {
  /** Top of the repository: `source` inputs are relative to it. */
  readonly top: string;
  /** Path of a secret by its name in the keyring. */
  readonly keyring: (name: string) => string;
  /** Path of a bundled program. */
  readonly programs: (name: string) => Promise<string>;
}

/** Turns the inputs of a step into host paths to mount. Each thing is made once per run. */
export interface Materializer {
  bindsOf(step: ExecStep): Promise<Bind[]>;
}

export interface MaterializerContext extends Surroundings {
  readonly plan: Plan;
  readonly cache: Cache;
  /** Private folder of this run. */
  readonly temporary: string;
  readonly pathOf: (ref: OutputRef) => string;
  /** Brings the files of a fetch step into the store if they are not there. */
  readonly ensureFetched: (step: FetchStep) => Promise<void>;
}

export function createMaterializer(context: MaterializerContext): Materializer {
  const made = new Map<string, Promise<string>>();
  const once = (name: string, make: () => Promise<string>): Promise<string> => {
    const known = made.get(name) ?? make();
    made.set(name, known);
    return known;
  };
  const pathOfInput = (input: Input): Promise<string> => {
    switch (input.kind) {
      case "output":
        return Promise.resolve(context.pathOf(input));
      case "source":
        // By content: two places of one npm package are one snapshot, and must not be made at the same time.
        return once(`source ${context.plan.sources[input.path]}`, () => snapshotSource(context, input.path));
      case "program":
        return once(`program ${input.name}`, () => checkProgram(context, input.name));
      case "fetched":
        return once(`fetched ${input.step}`, () => linkFetched(context, findFetchStep(context.plan, input.step)));
      case "text":
        return once(`text ${sha256(input.content)}`, () => writeText(context, input.content));
    }
  };
  return {
    async bindsOf(step) {
      const inputs = await Promise.all(
        Object.entries(step.inputs).map(async ([dst, input]) => readOnly(await pathOfInput(input), dst)),
      );
      const secrets = await Promise.all(Object.entries(step.secrets).map(([dst, { name }]) => bindSecret(context, name, dst)));
      return [...inputs, ...secrets].sort((a, b) => (a.dst < b.dst ? -1 : 1));
    },
  };
}

const readOnly = (src: string, dst: string): Bind => ({ src, dst, writable: false });

/**
 * The source as the plan knows it, kept in the cache by digest: a step never sees the owner and modes of the checkout, nor an edit
 * made after the plan.
 */
async function snapshotSource({ top, plan, cache, temporary }: MaterializerContext, path: string): Promise<string> {
  const digest = plan.sources[path] as Sha256;
  const kept = join(cache.directory, "sources", digest);
  const now = new Date();
  if (await exists(kept)) {
    await utimes(kept, now, now);
    return join(kept, "content");
  }
  const copy = join(temporary, `source-${digest}`);
  await mkdir(copy, { mode: 0o755 });
  copySource(join(top, path), join(copy, "content"));
  const actual = sourceDigest(join(copy, "content"));
  if (actual !== digest) throw new EngineError("STEP_SOURCE_CHANGED", { expected: `${path} with digest ${digest}`, actual });
  await mkdir(join(cache.directory, "sources"), { recursive: true });
  await rename(copy, kept).catch(async (error) => {
    if (!(await exists(kept))) throw error;
  });
  return join(kept, "content");
}

async function checkProgram({ plan, programs }: MaterializerContext, name: string): Promise<string> {
  const path = await programs(name);
  const actual = await sha256File(path);
  if (actual !== plan.programs[name])
    throw new EngineError("STEP_SOURCE_CHANGED", { expected: `program ${name} with digest ${plan.programs[name]}`, actual });
  return path;
}

/** A folder of hard links into the blob store; copies where the file system refuses links. */
async function linkFetched({ cache, temporary, ensureFetched }: MaterializerContext, step: FetchStep): Promise<string> {
  await ensureFetched(step);
  const folder = join(temporary, `fetched-${sha256(step.id)}`);
  await mkdir(folder, { mode: 0o755 });
  await Promise.all(
    step.files.map(async ({ name, sha256: digest }) => {
      if (!/^[^/\0]+$/.test(name) || name === "." || name === "..")
        throw new EngineError("PLAN_INVALID", { expected: "a plain file name in a fetch step", actual: name });
      const target = join(folder, name);
      await link(cache.blobs.path(digest), target).catch(() => copyFile(cache.blobs.path(digest), target));
    }),
  );
  return folder;
}

async function writeText({ temporary }: MaterializerContext, content: string): Promise<string> {
  const path = join(temporary, `text-${sha256(content)}`);
  await writeFile(path, content, { mode: 0o644 });
  return path;
}

async function bindSecret({ keyring }: MaterializerContext, name: string, dst: string): Promise<Bind> {
  const path = keyring(name);
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isFile() !== true) throw new EngineError("SECRET_MISSING", { expected: `a file ${path}`, actual: "none" });
  return readOnly(path, dst);
}
