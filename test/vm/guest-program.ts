import { build } from "esbuild";
import { VmError } from "./errors.ts";
import type { Machine } from "./machine.ts";

const FOLDER = "/run/secai-test";

/** The machine's own Node, without the restrictions of its services: a test's program is not one of them. */
export const GUEST_NODE = "/usr/bin/node";

/**
 * Puts a program of the tests into a machine, as one file that its Node runs, and returns its path. It lies in memory: nothing of it is
 * left after a restart. @throws VmError CHECK_FAILED when it cannot be bundled
 */
export async function pushProgram(machine: Machine, entry: string, name: string): Promise<string> {
  const options = { bundle: true, platform: "node", format: "esm", target: "node20", write: false, logLevel: "silent" } as const;
  const { outputFiles } = await build({ ...options, entryPoints: [entry] });
  const code = outputFiles[0]?.text;
  if (code === undefined) throw new VmError("CHECK_FAILED", { expected: `a bundle of ${entry}`, actual: "none" });
  const path = `${FOLDER}/${name}.mjs`;
  await machine.succeeds(`mkdir -p ${FOLDER}`);
  await machine.pushFile(code, path);
  return path;
}
