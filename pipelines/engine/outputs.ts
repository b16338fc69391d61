import { chmod, lstat, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { sha256File } from "@secai/formats/digest";
import type { ExecStep, OutputRecord, OutputSpec } from "../step.ts";
import { EngineError } from "./errors.ts";
import { treeDigest } from "./tree-digest.ts";

/**
 * Moves the declared outputs of a step from its /out to `<entry>/outputs/<name>` and digests them.
 * @throws EngineError STEP_OUTPUT_MISSING, STEP_OUTPUT_UNDECLARED
 */
export async function collectOutputs(step: ExecStep, out: string, entry: string): Promise<Record<string, OutputRecord>> {
  const outputs = Object.entries(step.outputs);
  for (const [, spec] of outputs) await checkPresent(step, out, spec);
  await checkDeclared(step, out, "/out", new Set(outputs.map(([, { path }]) => path)));
  await mkdir(join(entry, "outputs"), { recursive: true });
  const records: Record<string, OutputRecord> = {};
  for (const [name, spec] of outputs) {
    const path = join(entry, "outputs", name);
    await rename(hostPath(out, spec.path), path);
    records[name] = await recordOutput(path, spec.type);
  }
  return records;
}

const hostPath = (out: string, path: string): string => join(out, path.slice("/out".length));

async function recordOutput(path: string, type: OutputSpec["type"]): Promise<OutputRecord> {
  if (type === "directory") {
    const { digest, size } = await treeDigest(path);
    return { digest, type, size };
  }
  await chmod(path, 0o444);
  const { size } = await lstat(path);
  return { digest: await sha256File(path), type, size };
}

/** Every folder on the way must be a real one: a link could lead out of the step's own folder. */
async function checkPresent(step: ExecStep, out: string, { path, type }: OutputSpec): Promise<void> {
  const names = path.split("/").slice(2);
  let current = out;
  for (const [index, name] of names.entries()) {
    current = join(current, name);
    const wanted = index === names.length - 1 ? type : "directory";
    const stats = await lstat(current).catch(() => undefined);
    const found = stats === undefined ? "nothing" : stats.isFile() ? "file" : stats.isDirectory() ? "directory" : "another kind";
    if (found !== wanted)
      throw new EngineError("STEP_OUTPUT_MISSING", { expected: `a ${type} at ${path} from step ${step.id}`, actual: found });
  }
}

async function checkDeclared(step: ExecStep, directory: string, path: string, declared: ReadonlySet<string>): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const entryPath = `${path}/${entry.name}`;
    if (declared.has(entryPath)) continue;
    const leadsToOutput = [...declared].some((output) => output.startsWith(`${entryPath}/`));
    if (!entry.isDirectory() || !leadsToOutput) {
      const expected = `only ${[...declared].join(" ")} from step ${step.id}`;
      throw new EngineError("STEP_OUTPUT_UNDECLARED", { expected, actual: entryPath });
    }
    await checkDeclared(step, join(directory, entry.name), entryPath, declared);
  }
}
