import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toolCommand } from "../../../pipelines/engine/sandbox.ts";
import { loadSources, type Sources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";

/** Seconds since 1970 that the programs take for now. */
export const EPOCH = 1_760_000_000;
const LIMIT_MS = 120_000;

/** Bundled programs of the plan, run in a sandbox of the tool root with one folder, and small inputs in the place of an image. */
export class MediaFolder {
  readonly path: string;
  readonly #root: string;
  readonly #sources: Sources;

  private constructor(root: string, sources: Sources, path: string) {
    this.#root = root;
    this.#sources = sources;
    this.path = path;
  }

  /** @throws Error without SECAI_TOOL_ROOT: these tests are about what real tools make and read */
  static async open(programs: readonly string[]): Promise<MediaFolder> {
    const root = process.env.SECAI_TOOL_ROOT;
    if (root === undefined || root === "") throw new Error("SECAI_TOOL_ROOT names no tool root: run `npm run test:contract`");
    const path = mkdtempSync(join(tmpdir(), "secai-media-"));
    const sources = await loadSources(top, join(path, "cache"), { sources: [], programs });
    return new MediaFolder(root, sources, path);
  }

  at(name: string): string {
    return join(this.path, name);
  }

  /** Runs a shell script in the folder. @throws Error with what it wrote when it fails */
  run(script: string): string {
    return this.#start(["/bin/bash", "-euo", "pipefail", "-c", script], {}, [this.#bind(this.path)]);
  }

  /** Runs a program as a step does; flags are file names in the folder where they start with "./". Makes the folder `out` for it. */
  program(name: string, flags: Readonly<Record<string, string>>, out: string): string {
    mkdirSync(this.at(out), { recursive: true });
    const argv = Object.entries(flags).flatMap(([flag, value]) => [
      `--${flag}`,
      value.startsWith("./") ? this.at(value.slice(2)) : value,
    ]);
    const binds = [
      this.#bind(this.path),
      { src: process.execPath, dst: "/in/node", writable: false },
      { src: this.#sources.programPath(name), dst: "/in/program.mjs", writable: false },
    ];
    return this.#start(["/in/node", "/in/program.mjs", ...argv], { SOURCE_DATE_EPOCH: String(EPOCH) }, binds);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #bind(path: string) {
    return { src: path, dst: path, writable: true };
  }

  #start(
    argv: readonly string[],
    env: Readonly<Record<string, string>>,
    binds: readonly { readonly src: string; readonly dst: string; readonly writable: boolean }[],
  ): string {
    const sandboxed = toolCommand({ root: this.#root, argv, binds, env, network: "none", cwd: this.path });
    const [command = "", ...args] = sandboxed;
    const result = spawnSync(command, args, { encoding: "utf8", timeout: LIMIT_MS, maxBuffer: 16 << 20 });
    if (result.status !== 0)
      throw new Error(
        `${argv.slice(0, 8).join(" ")}\nended with ${result.status ?? result.signal}:\n${result.stdout}${result.stderr}`,
      );
    return result.stdout;
  }
}
