import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleStep } from "@secai/pipelines/steps/bundle";

const top = join(import.meta.dirname, "../../..");
const workspaces = {
  "@secai/integrity-monitor": "services-src/integrity-monitor",
  "@secai/kit": "services-src/kit",
  "@secai/formats": "attest/formats",
  "@secai/measure": "attest/measure",
  "@secai/verify": "attest/verify",
};

/** One file that the image's Node runs, made by the very command of the image's build. */
export interface Bundle {
  readonly path: string;
  remove(): void;
}

/** @param entry repository path of the file to bundle */
export function buildBundle(entry = "services-src/integrity-monitor/main.ts"): Bundle {
  const folder = mkdtempSync(join(tmpdir(), "secai-bundle-"));
  const path = join(folder, "bundle.mjs");
  const step = bundleStep({ name: "integrity-monitor", entry, workspaces, modules: [], sourceDateEpoch: 0 });
  const place = (word: string): string =>
    word
      .replace(/^\/in\/esbuild$/, join(top, `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`))
      .replace(/(^|=)\/src\//, `$1${top}/`)
      .replace("/out/bundle.mjs", path)
      .replace("/out/metafile.json", `${path}.metafile.json`);
  const [program = "", ...args] = step.run.map(place);
  execFileSync(program, args, { cwd: top, stdio: ["ignore", "inherit", "inherit"] });
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

/**
 * The flags with which the appliance runs this service, as far as every Node knows them. The small semi-space: a look leaves much behind
 * that lives shortly, and nobody waits for it.
 */
export const SERVICE_FLAGS = [
  "--jitless",
  "--disallow-code-generation-from-strings",
  "--max-old-space-size=64",
  "--max-semi-space-size=2",
];
