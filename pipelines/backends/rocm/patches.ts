import { readdirSync } from "node:fs";
import { join } from "node:path";
import { tool } from "../../programs/tool.ts";
import { BackendError } from "../errors.ts";

const NAME = /^[0-9]{4}-[a-z0-9][a-z0-9.-]{0,80}\.patch$/;

/** The patches of a folder in the order in which they apply. @throws BackendError GPU_BACKEND_PATCH when it holds anything else */
export function patchesOf(files: readonly string[]): readonly string[] {
  const other = files.find((name) => !NAME.test(name));
  if (other !== undefined) throw new BackendError("GPU_BACKEND_PATCH", { expected: "names such as 0001-x.patch", actual: other });
  return files.toSorted();
}

/**
 * Applies every patch of `folder` to the sources, each exactly: no context is guessed, nothing is left out. Needs patch in the tool root.
 * @throws BackendError GPU_BACKEND_PATCH, with the patch's name
 */
export function applyPatches(sources: string, folder: string): readonly string[] {
  const names = patchesOf(readdirSync(folder));
  for (const name of names) {
    const exact = ["--strip=1", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-"];
    try {
      tool("patch", [...exact, "--input", join(folder, name)], { cwd: sources });
    } catch (cause) {
      throw new BackendError("GPU_BACKEND_PATCH", { expected: `${name} to apply to the sources`, actual: "it does not", cause });
    }
  }
  return names;
}
