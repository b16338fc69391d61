import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { toolCommand } from "@secai/pipelines/engine/sandbox";
import { bundleStep } from "@secai/pipelines/steps/bundle";
import { top } from "../../../scripts/house/tree.ts";

const LIMIT_MS = 500_000;
const workspaces = {
  "@secai/verify": "attest/verify",
  "@secai/formats": "attest/formats",
  "@secai/measure": "attest/measure",
};

/** Makes the verifier's one file at `to`, by the very command of the image's build, outside of its sandbox. */
export function makeSingleFile(to: string): void {
  const { run } = bundleStep({
    name: "secai-verify",
    entry: "attest/verify/main.ts",
    workspaces,
    modules: [],
    sourceDateEpoch: 0,
  });
  const place = (word: string): string =>
    word
      .replace(/^\/in\/esbuild$/, join(top, `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`))
      .replace(/(^|=)\/src\//, `$1${top}/`)
      .replace("/out/bundle.mjs", to)
      .replace("/out/metafile.json", `${to}.metafile.json`);
  const [program = "", ...args] = run.map(place);
  mkdirSync(dirname(to), { recursive: true });
  execFileSync(program, args, { cwd: top, stdio: ["ignore", "inherit", "inherit"] });
}

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where a program runs: `loopback` has an interface of its own and no other, `nothing` not even that. */
export type Network = "loopback" | "nothing";

/**
 * Runs a program of the tool root that sees that root and `folder`, and nothing of this repository. Its Node is the one of the image.
 * @throws Error without SECAI_TOOL_ROOT
 */
export function runApart(folder: string, argv: readonly string[], network: Network): Ran {
  const root = process.env.SECAI_TOOL_ROOT;
  if (root === undefined || root === "") throw new Error("SECAI_TOOL_ROOT names no tool root: run `npm run test:contract`");
  const binds = [{ src: folder, dst: folder, writable: true }];
  const tool = toolCommand({ root, argv, binds, env: {}, network: network === "loopback" ? "none" : "host", cwd: folder });
  const [command = "", ...args] = network === "loopback" ? tool : [...withoutInterfaces(), ...tool];
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    timeout: LIMIT_MS,
    maxBuffer: 64 << 20,
  });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

/** A network namespace as the kernel makes it: loopback alone, and down. */
function withoutInterfaces(): readonly string[] {
  return ["unshare", "--net", ...(process.geteuid?.() === 0 ? [] : ["--map-root-user"]), "--"];
}
