import { parseArgs } from "node:util";
import { createEngine } from "./build.ts";
import type { CommandIo } from "./io.ts";
import { prepare } from "./prepare.ts";
import { chooseReporter, createReporter } from "./progress/reporter.ts";

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
  if (values.help === true || verb !== "shell" || id === undefined || rest.length > 0) {
    (values.help === true ? io.stdout : io.stderr)(help);
    return values.help === true ? 0 : 2;
  }
  const request = { top: io.top, recipe: values.recipe, env: io.env, notice: (text: string) => io.stderr(`${text}\n`) };
  const prepared = await prepare(request);
  const reporter = createReporter(chooseReporter(process.stderr, io.env, false));
  try {
    return await createEngine(request, prepared).shell(prepared.plan, id, {
      report: reporter.report,
      ...(io.signal === undefined ? {} : { signal: io.signal }),
    });
  } finally {
    reporter.close();
  }
}
