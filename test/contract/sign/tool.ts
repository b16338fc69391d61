import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { toolCommand } from "../../../pipelines/engine/sandbox.ts";

const LIMIT_MS = 120_000;

/**
 * Runs a shell script with programs of the tool root that speak to services of this very process on loopback; what it said on both
 * streams. @throws Error with its standard error
 */
export async function runBeside(folder: string, script: string): Promise<string> {
  const root = process.env.SECAI_TOOL_ROOT ?? "";
  if (root === "") throw new Error("SECAI_TOOL_ROOT names no tool root: run `npm run test:contract`");
  const binds = [{ src: folder, dst: folder, writable: true }];
  const argv = ["/bin/bash", "-euo", "pipefail", "-c", script];
  const [command = "", ...args] = toolCommand({ root, argv, binds, env: {}, network: "host", cwd: folder });
  const { stdout, stderr } = await promisify(execFile)(command, args, { timeout: LIMIT_MS });
  return stdout + stderr;
}
