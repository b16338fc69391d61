import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SilverblueError } from "./errors.ts";

const OURS = /\/usr\/libexec\/secure-ai\/[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]/g;
/** Units and scripts; what is larger is no text of ours. */
const MAX_TEXT_BYTES = 256 << 10;

function calledBelow(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return calledBelow(path);
    if (!entry.isFile() || lstatSync(path).size > MAX_TEXT_BYTES) return [];
    return [...readFileSync(path, "utf8").matchAll(OURS)].map(([program]) => program);
  });
}

/** Every program of ours that an overlay names is in the root. @throws SilverblueError PROGRAM_ABSENT */
export function checkPrograms(overlays: readonly string[], root: string): void {
  const missing = overlays
    .flatMap(calledBelow)
    .find((path) => lstatSync(join(root, path), { throwIfNoEntry: false })?.isFile() !== true);
  if (missing !== undefined) throw new SilverblueError("PROGRAM_ABSENT", { expected: missing, actual: "no such file" });
}
