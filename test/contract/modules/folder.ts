import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toolCommand } from "../../../pipelines/engine/sandbox.ts";
import { loadSources, type Sources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";

/** Seconds since 1970 that the programs take for now. */
const EPOCH = 1_760_000_000;
/** One program of the tool root on a busy machine. */
const LIMIT_MS = 600_000;

export interface Ended {
  readonly status: number | null;
  /** What it wrote to both streams. */
  readonly output: string;
}

/** The steps' programs in sandboxes of the tool root "modules", which has a kernel, its headers and a compiler, with one folder. */
export class ModulesFolder {
  readonly path: string;
  readonly #root: string;
  readonly #sources: Sources;

  private constructor(root: string, sources: Sources, path: string) {
    this.#root = root;
    this.#sources = sources;
    this.path = path;
  }

  /** @throws Error without SECAI_MODULES_ROOT: these tests are about what real compilers and kernel tools make */
  static async open(): Promise<ModulesFolder> {
    const root = process.env.SECAI_MODULES_ROOT;
    if (root === undefined || root === "")
      throw new Error("SECAI_MODULES_ROOT names no tool root: scripts/secai tools modules --recipe debian-13-gpu --path");
    const path = mkdtempSync(join(tmpdir(), "secai-modules-"));
    const programs = ["kernel-modules", "kernel-modules-build"];
    return new ModulesFolder(root, await loadSources(top, join(path, "cache"), { sources: [], programs }), path);
  }

  at(name: string): string {
    return join(this.path, name);
  }

  /** Runs a shell script in the folder; its standard output. @throws Error with what it wrote when it fails */
  run(script: string): string {
    const { status, output } = this.#start(["/bin/bash", "-euo", "pipefail", "-c", script]);
    if (status !== 0) throw new Error(`${script}\nended with ${status}:\n${output}`);
    return output;
  }

  /** Runs a program as a step does; values that start with "./" are names in the folder. Makes the folder `out` for it. */
  program(name: string, flags: Readonly<Record<string, string>>, out: string, processors?: string): Ended {
    mkdirSync(this.at(out), { recursive: true });
    const values = Object.entries({ ...flags, out: `./${out}` }).flatMap(([flag, value]) => [
      `--${flag}`,
      value.startsWith("./") ? this.at(value.slice(2)) : value,
    ]);
    const pinned = processors === undefined ? [] : ["taskset", "--cpu-list", processors];
    return this.#start(
      [...pinned, "/in/node", "/in/program.mjs", ...values],
      [
        { src: process.execPath, dst: "/in/node", writable: false },
        { src: this.#sources.programPath(name), dst: "/in/program.mjs", writable: false },
      ],
    );
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #start(
    argv: readonly string[],
    binds: readonly { readonly src: string; readonly dst: string; readonly writable: boolean }[] = [],
  ): Ended {
    const [command = "", ...args] = toolCommand({
      root: this.#root,
      argv,
      binds: [{ src: this.path, dst: this.path, writable: true }, ...binds],
      env: { SOURCE_DATE_EPOCH: String(EPOCH) },
      network: "none",
      cwd: this.path,
    });
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: LIMIT_MS, maxBuffer: 64 << 20 });
    return { status, output: `${stdout}${stderr}` };
  }
}
