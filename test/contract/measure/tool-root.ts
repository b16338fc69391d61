import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toolCommand } from "../../../pipelines/engine/sandbox.ts";

const LIMIT_MS = 120_000;

/** A folder in which programs of the tool root work, seen by them at the same path. */
export class ToolFolder {
  readonly path = mkdtempSync(join(tmpdir(), "secai-measure-"));
  readonly #root: string;

  /** @throws Error without SECAI_TOOL_ROOT: these tests compare with the tools themselves */
  constructor() {
    const root = process.env.SECAI_TOOL_ROOT;
    if (root === undefined || root === "") throw new Error("SECAI_TOOL_ROOT names no tool root: run `npm run test:contract`");
    this.#root = root;
  }

  /** Runs a shell script that stops at the first failure; its standard output. @throws Error with its standard error */
  run(script: string): string {
    const binds = [{ src: this.path, dst: this.path, writable: true }];
    const argv = ["/bin/bash", "-euo", "pipefail", "-c", script];
    const [command = "", ...args] = toolCommand({ root: this.#root, argv, binds, env: {}, network: "none", cwd: this.path });
    const result = spawnSync(command, args, { encoding: "utf8", timeout: LIMIT_MS, maxBuffer: 16 << 20 });
    if (result.status !== 0) throw new Error(`${script}\nended with ${result.status ?? result.signal}:\n${result.stderr}`);
    return result.stdout;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
