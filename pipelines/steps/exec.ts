import type { CacheMount, ExecStep, Input, OutputRef, OutputSpec, Secret } from "../step.ts";

/** The Node that programs run on inside sandboxes: the pinned one of this repository, so that no tool root needs its own. */
const node: Input = { kind: "source", path: `node_modules/node-linux-${process.arch}/bin/node` };

export interface ProgramStep {
  readonly id: string;
  readonly title: string;
  readonly program: string;
  readonly tools: ExecStep["tools"];
  readonly privileges?: ExecStep["privileges"];
  readonly inputs?: Readonly<Record<string, Input>>;
  readonly secrets?: Readonly<Record<string, Secret>>;
  /** Folders kept between runs, by path; see ExecStep. */
  readonly caches?: Readonly<Record<string, CacheMount>>;
  /** Flags of the program, in order. */
  readonly flags: Readonly<Record<string, string>>;
  readonly outputs: Readonly<Record<string, OutputSpec>>;
  readonly sourceDateEpoch: number;
}

/** A step that runs one bundled program of pipelines/programs. */
export function programStep(spec: ProgramStep): ExecStep {
  return {
    kind: "exec",
    id: spec.id,
    title: spec.title,
    tools: spec.tools,
    network: "none",
    privileges: spec.privileges ?? "none",
    inputs: { "/in/node": node, "/in/program.mjs": { kind: "program", name: spec.program }, ...spec.inputs },
    secrets: spec.secrets ?? {},
    ...(spec.caches === undefined ? {} : { caches: spec.caches }),
    env: { SOURCE_DATE_EPOCH: String(spec.sourceDateEpoch) },
    run: ["/in/node", "/in/program.mjs", ...Object.entries(spec.flags).flatMap(([name, value]) => [`--${name}`, value])],
    outputs: spec.outputs,
  };
}

export const file = (path: string): OutputSpec => ({ path, type: "file" });
export const directory = (path: string): OutputSpec => ({ path, type: "directory" });
export const outputOf = (step: string, output: string): OutputRef => ({ kind: "output", step, output });
