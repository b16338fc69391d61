import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { VmError } from "../vm/errors.ts";

export interface StepTime {
  readonly id: string;
  readonly cached: boolean;
  readonly durationMs: number;
  /** Milliseconds from the start of the command to the end of the step. */
  readonly endedAtMs: number;
}

/** One run of `secai image`, as its JSON events and a watch tell it. */
export interface ImageRun {
  /** The release directory. */
  readonly dir: string;
  /** False when the release was there already. */
  readonly changed: boolean;
  readonly steps: readonly StepTime[];
  readonly wallMs: number;
}

export interface ImageRunOptions {
  readonly top: string;
  readonly env: NodeJS.ProcessEnv;
  /** Words that the command is started with, e.g. ["taskset", "-c", "0"]. */
  readonly prefix?: readonly string[];
  /** Octal, as umask(1) takes it. */
  readonly umask?: string;
  readonly onStep?: (step: StepTime) => void;
}

interface Event {
  readonly type: string;
  readonly step?: string;
  readonly cached?: boolean;
  readonly durationMs?: number;
  readonly dir?: string;
  readonly changed?: boolean;
  readonly tail?: readonly string[];
}

/** Builds the default recipe of a checkout, as a person would. @throws VmError HARNESS_TOOL_FAILED */
export async function runImage(options: ImageRunOptions): Promise<ImageRun> {
  const { top, env, prefix = [], umask = "022", onStep = () => {} } = options;
  const node = join(top, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  const argv = [...prefix, node, join(top, "scripts/setup.mjs"), "scripts/secai.ts", "image", "--all-media", "--json"];
  const started = performance.now();
  const child = spawn("sh", ["-c", `umask ${umask}; exec "$@"`, "sh", ...argv], {
    cwd: top,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const steps: StepTime[] = [];
  let tail: readonly string[] = [];
  let release: Event | undefined;
  const errors: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as Event;
    if (event.type === "release") release = event;
    if (event.type === "step-failed") tail = event.tail ?? [];
    if (event.type !== "step-finished") continue;
    const endedAtMs = Math.round(performance.now() - started);
    const step = { id: event.step ?? "", cached: event.cached === true, durationMs: event.durationMs ?? 0, endedAtMs };
    steps.push(step);
    onStep(step);
  }
  const status = await ended;
  if (status !== 0 || release?.dir === undefined) {
    const said = [Buffer.concat(errors).toString("utf8").trim().slice(-1500), ...tail.slice(-10)].join("\n");
    throw new VmError("HARNESS_TOOL_FAILED", { expected: "`secai image` to succeed", actual: `exit ${status}: ${said}` });
  }
  return { dir: release.dir, changed: release.changed === true, steps, wallMs: Math.round(performance.now() - started) };
}
