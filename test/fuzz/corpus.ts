import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "../../attest/formats/digest.ts";

// Inputs that found something once, or got further than others: test/fuzz/corpus/<target>/<start of the SHA-256>.

const folderOf = (target: string) => join(import.meta.dirname, "corpus", target);

export function corpusOf(target: string): readonly Buffer[] {
  try {
    return readdirSync(folderOf(target))
      .sort()
      .map((name) => readFileSync(join(folderOf(target), name)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return [];
  }
}

/** The path of the file that now holds `input`. */
export function keepInput(target: string, input: Uint8Array): string {
  const path = join(folderOf(target), sha256(input).slice(0, 16));
  mkdirSync(folderOf(target), { recursive: true });
  writeFileSync(path, input);
  return path;
}
