import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createEngine } from "./build.ts";
import { type ExplainFacts, explain, explanationText, type PackageFacts } from "./explain.ts";
import { type CommandIo, printHelp } from "./io.ts";
import { bundlePaths } from "./plan.ts";
import { type Prepared, prepare, requestOf } from "./prepare.ts";
import { reported } from "./progress/reported.ts";
import { loadDpkg } from "./sbom/dpkg.ts";
import { outputOf } from "./steps/exec.ts";

const help = `secai explain PATH|PACKAGE [--recipe RECIPE] [--json]

Says which step, recipe line and lock entry put a file or a package into the image. Builds what it needs to know first.

Examples:
  secai explain /usr/bin/node
  secai explain libuv1t64
  secai explain /etc/nftables.conf --json
`;

/** Files of the overlays, by their path in the image; a later overlay wins. */
function overlayFiles(top: string, overlays: readonly string[]): Map<string, string> {
  const files = overlays.flatMap((overlay) =>
    readdirSync(join(top, overlay), { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry): [string, string] => {
        const path = join(entry.parentPath, entry.name).slice(join(top, overlay).length);
        return [path, overlay + path];
      }),
  );
  return new Map(files);
}

/** What the step `tree` writes itself. */
const generated = ["/usr/lib/secure-ai/services.json", "/usr/lib/os-release", "/etc/machine-id"];

function packageFacts(dpkg: string): Map<string, PackageFacts> {
  return new Map(
    loadDpkg(dpkg).map(({ name, depends, paths }) => [name, { name, depends: depends.flat(), files: new Set(paths) }]),
  );
}

function factsOf(top: string, { source, lock }: Prepared, dpkg: string): ExplainFacts {
  const named = [...source.origins].flatMap(([key, position]): [string, typeof position][] =>
    key.startsWith("packages/") ? [[key.slice("packages/".length), position]] : [],
  );
  return {
    packages: packageFacts(dpkg),
    locked: new Map(lock.roots.image.map((entry) => [entry.name, entry])),
    requested: new Map(named),
    overlays: overlayFiles(top, source.recipe.overlays),
    made: new Map([...bundlePaths(source.recipe), ...generated.map((path): [string, string] => [path, "tree"])]),
  };
}

/** `secai explain`. @throws PipelineError EXPLAIN_NOT_FOUND, and what a build throws */
export async function runExplain(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      json: { type: "boolean" },
      recipe: { type: "string", default: "debian-13" },
      help: { type: "boolean", short: "h" },
    },
  });
  const [query, ...rest] = positionals;
  if (values.help === true || query === undefined || rest.length > 0) return printHelp(io, help, values.help === true);
  const request = requestOf(io, values.recipe);
  const prepared = await prepare(request);
  const target = outputOf("tree", "dpkg");
  const result = await reported(io, (run) => createEngine(request, prepared).run(prepared.plan, { ...run, targets: [target] }));
  const explanation = explain(query, factsOf(io.top, prepared, result.pathOf(target)));
  io.stdout(values.json === true ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation));
  return 0;
}
