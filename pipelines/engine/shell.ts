import { spawn } from "node:child_process";
import { once } from "node:events";
import { type ExecuteContext, makeStepFolder, sandboxOf, withScratch } from "./execute.ts";
import { withMounts } from "./mounts.ts";
import { type SandboxSpec, sandboxCommand } from "./sandbox.ts";

/** bash where the root has it; the step's own command is there as $STEP. */
const SHELL = ["/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash --norc -i; else exec sh -i; fi"] as const;

/** An interactive shell in the sandbox of a step. @returns its exit status */
export async function openShell(
  context: Pick<ExecuteContext, "cache" | "plan" | "step" | "pathOf" | "materializer" | "temporary">,
): Promise<number> {
  return await withMounts(context.cache, context.step, undefined, async (mounts) => {
    const spec = await sandboxOf(context);
    return await runShell(context, { ...spec, binds: [...spec.binds, ...mounts] });
  });
}

async function runShell(context: Pick<ExecuteContext, "step" | "temporary">, spec: SandboxSpec): Promise<number> {
  const folder = await makeStepFolder(context.temporary);
  const env = {
    ...spec.env,
    STEP: quote(context.step.run),
    PS1: `${context.step.id}:\\w# `,
    TERM: process.env.TERM ?? "dumb",
  };
  const [program = "", ...args] = sandboxCommand({ ...withScratch(spec, folder), argv: SHELL, env, interactive: true });
  const child = spawn(program, args, { stdio: "inherit" });
  const [status] = (await once(child, "exit")) as [number | null];
  return status ?? 1;
}

/** The command as one would type it. */
function quote(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}
