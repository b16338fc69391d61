import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bind, toolCommand } from "../../../pipelines/engine/sandbox.ts";

/** One tool on a busy machine; the longest compile a kernel module. */
const LIMIT_MS = 600_000;

/** The machine's tool root. @throws Error without one: these tests are about what real tools make and read */
export function toolRootPath(variable = "SECAI_TOOL_ROOT"): string {
  const root = process.env[variable];
  if (root === undefined || root === "") throw new Error(`${variable} names no tool root: run \`npm run test:contract\``);
  return root;
}

export interface Ended {
  /** The exit status, or the name of the signal. */
  readonly status: number | string;
  readonly stdout: string;
  /** What it wrote to both streams. */
  readonly output: string;
}

/** A folder in which programs of a tool root work, seen by them at the same path. */
export class ToolFolder {
  readonly path = mkdtempSync(join(tmpdir(), "secai-tools-"));
  readonly #root: string;

  /** @param root default: the machine's tool root. @throws Error without one */
  constructor(root: string = toolRootPath()) {
    this.#root = root;
  }

  at(name: string): string {
    return join(this.path, name);
  }

  /** Runs a shell script that stops at the first failure; its standard output. @throws Error with what it wrote */
  run(script: string): string {
    const { status, stdout, output } = this.start(["/bin/bash", "-euo", "pipefail", "-c", script]);
    if (status !== 0) throw new Error(`${script}\nended with ${status}:\n${output}`);
    return stdout;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  protected start(argv: readonly string[], binds: readonly Bind[] = [], env: Readonly<Record<string, string>> = {}): Ended {
    const own = { src: this.path, dst: this.path, writable: true };
    const sandboxed = toolCommand({ root: this.#root, argv, binds: [own, ...binds], env, network: "none", cwd: this.path });
    const [command = "", ...args] = sandboxed;
    const ended = spawnSync(command, args, { encoding: "utf8", timeout: LIMIT_MS, maxBuffer: 64 << 20 });
    const { stdout, stderr } = ended;
    return { status: ended.status ?? String(ended.signal), stdout, output: `${stdout}${stderr}` };
  }
}
