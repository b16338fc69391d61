import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleStep } from "@secai/pipelines/steps/bundle";
import { top } from "./unit.ts";

const workspaces = {
  "@secai/policy-engine": "services-src/policy-engine",
  "@secai/kit": "services-src/kit",
  "@secai/formats": "attest/formats",
};

/** Bundles one entry with the very command of the image's build, outside its sandbox. */
export function bundle(name: string, entry: string, to: string): Buffer {
  const step = bundleStep({ name, entry, workspaces, modules: [], sourceDateEpoch: 0 });
  const place = (word: string): string =>
    word
      .replace(/^\/in\/esbuild$/, join(top, `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`))
      .replace(/(^|=)\/src\//, `$1${top}/`)
      .replace("/out/bundle.mjs", to)
      .replace("/out/metafile.json", `${to}.metafile.json`);
  const [program = "", ...args] = step.run.map(place);
  execFileSync(program, args, { cwd: top, stdio: ["ignore", "inherit", "inherit"] });
  return readFileSync(to);
}

/** The sealed folder of services and the runner, as the build lays them out: `lib` is /usr/lib/secure-ai, `libexec` /usr/libexec/secure-ai. */
export interface Bundles {
  readonly folder: string;
  readonly lib: string;
  readonly libexec: string;
}

export function buildBundles(): Bundles {
  const folder = mkdtempSync(join(tmpdir(), "secai-bundles-"));
  const [lib, libexec] = [join(folder, "lib"), join(folder, "libexec")];
  for (const path of [join(lib, "services"), libexec]) mkdirSync(path, { recursive: true });
  bundle("secai-run", "services-src/kit/programs/secai-run.ts", join(libexec, "secai-run.mjs"));
  const bytes = bundle("policy-engine", "services-src/policy-engine/main.ts", join(lib, "services/policy-engine.mjs"));
  const entry = {
    path: "/usr/lib/secure-ai/services/policy-engine.mjs",
    sha256: createHash("sha256").update(bytes).digest("hex"),
  };
  writeFileSync(join(lib, "services.json"), JSON.stringify({ schema: 1, services: { "policy-engine": entry } }));
  return { folder, lib, libexec };
}
