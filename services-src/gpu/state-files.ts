import { lstatSync } from "node:fs";
import { dirname, join } from "node:path";
import { type GpuState, gpuStateBytes } from "@secai/formats/gpu-state";
import { inferenceEnvText } from "@secai/formats/inference-env";
import { writeAtomic } from "@secai/kit/files";
import { GpuError } from "./errors.ts";

export const STATE_PATH = "/var/lib/secure-ai/state/gpu.json";
export const ENV_PATH = "/var/lib/secure-ai/inference.env";

/**
 * Replaces both files, the one that services start by first: whoever reads gpu.json finds what already holds.
 * @throws GpuError GPU_STATE_UNSAFE; FormatError for a state that no reader would accept
 */
export async function writeState(root: string, state: GpuState): Promise<void> {
  const files = [
    { path: join(root, ENV_PATH), bytes: inferenceEnvText(state) },
    { path: join(root, STATE_PATH), bytes: gpuStateBytes(state) },
  ];
  for (const { path } of files) requirePlain(path);
  for (const { path, bytes } of files) await writeAtomic(path, bytes, 0o644);
}

/** A link, a folder or a special file in the place of ours is somebody's doing, and so is a link on the way there. */
function requirePlain(path: string): void {
  const folder = lstatSync(dirname(path), { throwIfNoEntry: false });
  if (folder?.isDirectory() !== true) throw unsafe(`a folder ${dirname(path)}`, kindOf(folder));
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (file !== undefined && !(file.isFile() && file.nlink === 1))
    throw unsafe(`a plain file or nothing at ${path}`, kindOf(file));
}

type Stat = ReturnType<typeof lstatSync>;
const kindOf = (stat: Stat | undefined): string =>
  stat === undefined
    ? "nothing"
    : stat.isSymbolicLink()
      ? "a symbolic link"
      : stat.isFile()
        ? "a file of several names"
        : "something else";

const unsafe = (expected: string, actual: string) => new GpuError("GPU_STATE_UNSAFE", { expected, actual });
