import { parseArgs } from "node:util";
import { createEngine } from "./build.ts";
import { type CommandIo, printHelp } from "./io.ts";
import { prepare, requestOf } from "./prepare.ts";
import { reported } from "./progress/reported.ts";

const help = `secai step shell ID [--recipe RECIPE]

Opens a shell in the sandbox of a step: same tools, inputs, secrets and environment, an empty /out and /tmp.
\`secai plan\` lists the steps.

Example:
  secai step shell seal
`;

/** `secai step`. @throws RecipeError, LockError, EngineError, PipelineError */
export async function runStepCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { recipe: { type: "string", default: "debian-13" }, help: { type: "boolean", short: "h" } },
  });
  const [verb, id, ...rest] = positionals;
  if (values.help === true || verb !== "shell" || id === undefined || rest.length > 0)
    return printHelp(io, help, values.help === true);
  const request = requestOf(io, values.recipe);
  const prepared = await prepare(request);
  return await reported(io, (run) => createEngine(request, prepared).shell(prepared.plan, id, run));
}
