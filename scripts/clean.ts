import { rmSync } from "node:fs";
import { join } from "node:path";

interface Io {
  readonly stdout: (text: string) => void;
  readonly top: string;
}

/** Removes what a build or a test run leaves in the checkout. The cache has commands of its own, keys are never touched. */
export async function runClean(args: string[], { stdout, top }: Io): Promise<number> {
  if (args.includes("--help")) {
    stdout(
      "secai clean\n\nRemoves out/ and test-results/ of this checkout. `secai cache gc` shrinks the cache; keys stay.\n\nExample:\n  secai clean\n",
    );
    return 0;
  }
  for (const folder of ["out", "test-results"]) rmSync(join(top, folder), { recursive: true, force: true });
  stdout("removed out/ and test-results/\n");
  return 0;
}
