import { spawn } from "node:child_process";
import { once } from "node:events";
import { type ExecuteContext, makeStepFolder, sandboxOf, withScratch } from "./execute.ts";
import { sandboxCommand } from "./sandbox.ts";

/** bash where the root has it; the step's own command is there as $STEP. */
const SHELL = ["/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash --norc -i; else exec sh -i; fi"] as const;

/** An interactive shell in the sandbox of a step. @returns its exit status */
export async function openShell(
  context: Pick<ExecuteContext, "plan" | "step" | "pathOf" | "materializer" | "temporary">,
): Promise<number> {
  const spec = await sandboxOf(context);
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
