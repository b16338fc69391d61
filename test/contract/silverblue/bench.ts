import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { sandboxCommand } from "../../../pipelines/engine/sandbox.ts";
import { loadSources, type Sources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";
import { toolRootPath } from "../measure/tool-root.ts";

/** Seconds since 1970 that the programs take for now. */
export const EPOCH = 1_760_000_000;
const LIMIT_MS = 300_000;

export const PROGRAMS = ["base", "packages", "modules", "policy", "kernel-arguments", "tree", "image", "lint"] as const;
export type ProgramName = (typeof PROGRAMS)[number];

export interface Failure {
  readonly status: number;
  readonly output: string;
}

/** A folder in which the bundled step programs, and the tools they call, run in the local engine's own sandbox. */
export class Bench {
  readonly path = mkdtempSync(join(tmpdir(), "secai-silverblue-"));
  readonly #root = toolRootPath();
  #sources: Sources | undefined;

  static async open(): Promise<Bench> {
    const bench = new Bench();
    chmodSync(bench.path, 0o755);
    const programs = [...PROGRAMS.map((name) => `silverblue/${name}`), "sbom-image"];
    bench.#sources = await loadSources(top, bench.at("cache"), { sources: [], programs });
    return bench;
  }

  at(...parts: readonly string[]): string {
    return join(this.path, ...parts);
  }

  read(...parts: readonly string[]): string {
    return readFileSync(this.at(...parts), "utf8");
  }

  json(...parts: readonly string[]) {
    return JSON.parse(this.read(...parts));
  }

  write(path: string, content: string | Uint8Array, mode = 0o644): string {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), content);
    chmodSync(this.at(path), mode);
    return this.at(path);
  }

  /** Runs a shell script with what a step that makes a root may do. Its output. @throws Error with it when it fails */
  tools(script: string): string {
    const { status, output } = this.#start(["/bin/bash", "-euo", "pipefail", "-c", script]);
    if (status !== 0) throw new Error(`${script}\nended with ${status}:\n${output}`);
    return output;
  }

  /** Runs a program as its step does. Flags that start with "./" are names in the folder. */
  start(name: ProgramName | "sbom-image", flags: Readonly<Record<string, string>>): Failure {
    const argv = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, this.#resolved(value)]);
    return this.#start(["/in/node", "/in/program.mjs", ...argv], name === "sbom-image" ? name : `silverblue/${name}`);
  }

  /** @throws Error with its output when the program fails */
  run(name: ProgramName | "sbom-image", flags: Readonly<Record<string, string>>): string {
    const { status, output } = this.start(name, flags);
    if (status !== 0) throw new Error(`${name} ended with ${status}:\n${output}`);
    return output;
  }

  /** The error code that the program ended with; "accepted" when it did not. */
  refusal(name: ProgramName, flags: Readonly<Record<string, string>>): string {
    const { status, output } = this.start(name, flags);
    return status === 0 ? "accepted" : (/Error: (?<code>[A-Z][A-Z0-9_]+): /.exec(output)?.groups?.code ?? output);
  }

  programPath(name: string): string {
    if (this.#sources === undefined) throw new Error("open the bench first");
    return this.#sources.programPath(name);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #resolved(value: string): string {
    const one = (part: string) => (part.startsWith("./") ? this.at(part.slice(2)) : part);
    return value.split(",").map(one).join(",");
  }

  #start(argv: readonly string[], program?: string): Failure {
    const binds = [
      { src: this.path, dst: this.path, writable: true },
      { src: process.execPath, dst: "/in/node", writable: false },
      ...(program === undefined ? [] : [{ src: this.programPath(program), dst: "/in/program.mjs", writable: false }]),
    ];
    const [command = "", ...args] = sandboxCommand({
      root: { kind: "tree", path: this.#root },
      ...{ argv, binds, env: { SOURCE_DATE_EPOCH: String(EPOCH) }, network: "none", privileges: "tree", cwd: this.path },
    });
    const result = spawnSync(command, args, { encoding: "utf8", timeout: LIMIT_MS, maxBuffer: 64 << 20 });
    return { status: result.status ?? 128, output: result.stdout };
  }
}
