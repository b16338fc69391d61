import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Sha256, sha256 } from "../../../attest/formats/digest.ts";
import type { Engine, EngineEvent, Fetcher } from "../../../pipelines/engine/engine.ts";
import { sourceDigest } from "../../../pipelines/engine/source-digest.ts";
import type { ExecStep, OutputRef, OutputSpec, Plan, Step } from "../../../pipelines/step.ts";

/** What an engine gets to work with: temporary folders with known content. */
export interface Workspace {
  readonly top: string;
  readonly cacheDir: string;
  readonly keys: string;
  readonly programs: string;
  readonly fetcher: Fetcher;
  /** Names of the files that were fetched, in order. */
  readonly fetched: string[];
}

export type CreateEngine = (workspace: Workspace, parallelism?: number) => Engine;

export async function withWorkspace(work: (workspace: Workspace) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "secai-engine-"));
  try {
    const [top = "", cacheDir = "", keys = "", programs = ""] = ["top", "cache", "keys", "programs"].map((name) =>
      join(folder, name),
    );
    for (const path of [top, cacheDir, keys, programs]) await mkdir(path, { mode: 0o755 });
    const fetched: string[] = [];
    await work({ top, cacheDir, keys, programs, fetched, fetcher: createFixtureFetcher(fetched) });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export const fixtureFile = (name: string): string => `content of ${name}\n`;

/** Makes each file of nothing but its name, through the same calls a real fetcher uses. */
function createFixtureFetcher(fetched: string[]): Fetcher {
  return async (files, blobs, { onBytes }) => {
    for (const { name, sha256: digest, size } of files) {
      fetched.push(name);
      const partial = blobs.partialPath(digest);
      await writeFile(partial, fixtureFile(name));
      await blobs.commit(digest, partial);
      onBytes?.(size, size);
    }
  };
}

export function fetchStep(id: string, names: readonly string[]): Step {
  const files = names.map((name) => ({
    name,
    path: `pool/${name}`,
    archive: "fixture",
    size: fixtureFile(name).length,
    sha256: sha256(fixtureFile(name)),
  }));
  return { kind: "fetch", id, network: "fetch", files };
}

/** A step that runs a shell script with the machine's own tools; `outputs` are names below /out, a trailing slash makes a folder. */
export function scriptStep(
  id: string,
  script: string,
  more: Partial<ExecStep> & { readonly made?: readonly string[] } = {},
): ExecStep {
  const { made = ["result"], ...rest } = more;
  return {
    kind: "exec",
    id,
    title: `run ${id}`,
    tools: { kind: "host" },
    network: "none",
    privileges: "none",
    inputs: {},
    secrets: {},
    env: {},
    run: ["sh", "-euc", script],
    outputs: Object.fromEntries(made.map(outputSpec)),
    ...rest,
  };
}

function outputSpec(name: string): [string, OutputSpec] {
  const plain = name.replace(/\/$/, "");
  return [plain, { path: `/out/${plain}`, type: plain === name ? "file" : "directory" }];
}

export const output = (step: string, name = "result"): OutputRef => ({ kind: "output", step, output: name });

/** A plan whose outputs are the `result` of its last step, or `targets`. */
export function planOf(steps: readonly Step[], more: Partial<Plan> = {}): Plan {
  const zero = "0".repeat(64) as Sha256;
  return {
    recipe: { id: "fixture", version: "1", digest: zero, lockDigest: zero },
    sourceDateEpoch: 1_760_000_000,
    sources: {},
    programs: {},
    steps,
    outputs: Object.fromEntries(steps.flatMap((step) => outputsOf(step))),
    ...more,
  };
}

function outputsOf(step: Step): [string, OutputRef][] {
  return step.kind === "fetch" ? [] : Object.keys(step.outputs).map((name) => [`${step.id}-${name}`, output(step.id, name)]);
}

export function digestSources(top: string, paths: readonly string[]): Record<string, Sha256> {
  return Object.fromEntries(paths.map((path) => [path, sourceDigest(join(top, path))]));
}

export function collectEvents(): { readonly events: EngineEvent[]; readonly report: (event: EngineEvent) => void } {
  const events: EngineEvent[] = [];
  return { events, report: (event) => void events.push(event) };
}

/** Ids of the steps that really ran. */
export function ranSteps(events: readonly EngineEvent[]): string[] {
  return events.flatMap((event) => (event.type === "step-started" ? [event.step] : []));
}

export const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");
