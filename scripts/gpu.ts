import { release } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { BACKENDS } from "@secai/formats/gpu-backends";
import { devicesFor } from "@secai/gpu/decide";
import { loadDeclared, locate } from "@secai/gpu/layout";
import { probeApart } from "@secai/gpu/run-probes";
import { readPciDevices } from "@secai/gpu/sysfs";
import { tinyModelBytes } from "@secai/gpu/tiny-model";
import { build } from "@secai/pipelines/build";
import { type CommandIo, printHelp } from "@secai/pipelines/io";
import { requestOf } from "@secai/pipelines/prepare";
import { reported } from "@secai/pipelines/progress/reported";
import type { OutputRef, Plan } from "@secai/pipelines/step";
import { outputOf } from "@secai/pipelines/steps/exec";
import { runGpu } from "@secai/release/gpu/command";
import { libraryFolders } from "@secai/release/gpu/library-folders";
import type { GpuWorld, UsableDevice } from "@secai/release/gpu/world";

const help = `secai gpu qualify [OPTIONS]: proves that a GPU of this machine computes what the CPU computes (secai gpu qualify --help)
secai gpu trees [RECIPE]:     builds an image's root and its extensions, or takes them from the cache, and prints where they are; default: debian-13

Examples:
  secai gpu qualify
  secai gpu trees debian-13
`;

function devices(): readonly UsableDevice[] {
  return readPciDevices("/").flatMap((device) => {
    const { driver, driver_version } = device;
    const backends = BACKENDS.filter((backend) => devicesFor(backend, [device]).length > 0);
    return driver === null || driver_version === null || backends.length === 0
      ? []
      : [{ ...device, driver, driver_version, backends }];
  });
}

/** The appliance's own programs look at this machine; its system stands in for the image's where a tree brings no library. */
function worldOf({ top, env }: CommandIo): GpuWorld {
  const program = join(top, "services-src/gpu/programs/probe.ts");
  return {
    devices,
    modules: join(top, "node_modules"),
    declared: (trees) => loadDeclared({ roots: trees }),
    locate: (trees, path) => locate({ roots: trees }, path),
    probe: ({ backend, trees, model, tokens }) => {
      const roots = trees.flatMap((tree) => ["--root", tree]);
      const folders = [...(env.LD_LIBRARY_PATH ?? "").split(":"), ...libraryFolders(trees)].filter((folder) => folder !== "");
      const started = { argv: [program], env: { ...env, ...(folders.length > 0 && { LD_LIBRARY_PATH: folders.join(":") }) } };
      return probeApart(started, backend, [...roots, "--model", model, "--tokens", String(tokens)]);
    },
    model: tinyModelBytes,
    kernel: release(),
    now: () => new Date(),
  };
}

/** The root of the image, which declares the backends, and what lies over it on machines with the hardware. */
const treesOf = ({ steps }: Plan): readonly OutputRef[] => [
  outputOf("tree", "tree"),
  ...steps.filter(({ id }) => /^extension\.[a-z0-9-]+$/.test(id)).map(({ id }) => outputOf(id, "tree")),
];

async function printTrees(recipe: string, io: CommandIo): Promise<number> {
  const { prepared, result } = await reported(io, (run) =>
    build({ ...run, ...requestOf(io, recipe), channel: "dev", targets: treesOf }),
  );
  io.stdout(
    treesOf(prepared.plan)
      .map((tree) => `${result.pathOf(tree)}\n`)
      .join(""),
  );
  return 0;
}

/** `secai gpu`. @throws QualifyError, ReleaseError, SignError, FormatError, and what a build throws */
export async function runGpuHere(args: string[], io: CommandIo): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === "qualify") return await runGpu(rest, io, worldOf(io));
  const { values, positionals } = parseArgs({
    args: rest,
    allowPositionals: true,
    options: { help: { type: "boolean", short: "h" } },
  });
  if (verb === "trees" && values.help !== true && positionals.length <= 1)
    return await printTrees(positionals[0] ?? "debian-13", io);
  const isHelp = values.help === true || verb === "--help" || verb === "-h";
  return printHelp(io, help, isHelp);
}
