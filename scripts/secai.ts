// The one command. Each folder exports its own subcommands; this file only finds them and turns errors into exit codes.
import { enableCompileCache } from "node:module";
import { dirname, join } from "node:path";
import { CodedError } from "@secai/formats/errors";

// Compiled modules are kept beside the installed packages, by content: half of what starting costs.
enableCompileCache(join(import.meta.dirname, "..", "node_modules", ".compile-cache"));

/** What a subcommand may touch of the outside: its two streams, the checkout, the environment and an interrupt. */
interface Io {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly top: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

type Run = (args: string[], io: Io) => Promise<number>;

interface Command {
  readonly summary: string;
  /** Runs steps or removes their outputs, which needs uid 0, of the machine or of a user namespace; of some verbs only one does. */
  readonly sandboxes?: true | string;
  /** Imported when called, so that no command pays for another's libraries. */
  readonly load: () => Promise<Run>;
}

const commands: Readonly<Record<string, Command>> = {
  image: {
    summary: "build, measure, sign and check an image",
    sandboxes: true,
    load: async () => (await import("./image.ts")).runImage,
  },
  build: {
    summary: "the same as image",
    sandboxes: true,
    load: async () => (await import("./image.ts")).runImage,
  },
  recipe: { summary: "check and show recipes", load: async () => (await import("@secai/pipelines/recipe/command")).runRecipe },
  lock: {
    summary: "update, check and compare locks",
    sandboxes: "update",
    load: async () => (await import("@secai/pipelines/lock/command")).runLock,
  },
  plan: { summary: "show the steps of a recipe", load: async () => (await import("@secai/pipelines/plan-command")).runPlan },
  explain: {
    summary: "say what put a file or package into the image",
    sandboxes: true,
    load: async () => (await import("@secai/pipelines/explain-command")).runExplain,
  },
  step: {
    summary: "enter the sandbox of a step",
    sandboxes: true,
    load: async () => (await import("@secai/pipelines/step-command")).runStepCommand,
  },
  cache: {
    summary: "list, check and shrink the cache",
    sandboxes: true,
    load: async () => (await import("@secai/pipelines/engine/command")).runCache,
  },
  tools: {
    summary: "make a locked tool root and print where it is",
    sandboxes: true,
    load: async () => (await import("@secai/pipelines/tools-command")).runTools,
  },
  verify: {
    summary: "verify a release or a running machine",
    load: async () => (await import("@secai/verify/command")).runVerify,
  },
  release: {
    summary: "build, sign, check, compare, promote and publish releases",
    sandboxes: true,
    load: async () => (await import("./release.ts")).runRelease,
  },
  sign: {
    summary: "sign one file, or a statement about it, with a key, a token or an identity",
    load: async () => (await import("@secai/release/sign-file/command")).runSignFile,
  },
  waivers: {
    summary: "check the recorded reasons for vulnerabilities that are none",
    load: async () => (await import("@secai/pipelines/vex/command")).runWaivers,
  },
  keys: {
    summary: "make, replace and revoke the keys that releases are signed with",
    load: async () => (await import("./keys.ts")).runKeysHere,
  },
  flash: {
    summary: "write a verified image to a disk and read it back",
    load: async () => (await import("@secai/release/flash/command")).runFlash,
  },
  gpu: {
    summary: "prove that a GPU computes what the CPU computes",
    sandboxes: "trees",
    load: async () => (await import("./gpu.ts")).runGpuHere,
  },
  rebuild: {
    summary: "build a release again from its provenance and sign the verdict",
    sandboxes: true,
    load: async () => (await import("./rebuild.ts")).runRebuild,
  },
  clean: { summary: "remove build output; caches and keys stay", load: async () => (await import("./clean.ts")).runClean },
};

function help(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `secai COMMAND [OPTIONS]

${rows.join("\n")}

Each command explains itself: secai COMMAND --help
Exit status: 0 accepted, 1 rejected, 2 wrong use, 3 undecided or missing, 70 a bug of ours.
`;
}

const isUsageError = (error: unknown): error is Error =>
  error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");

function printError(error: unknown, io: Io): number {
  if (isUsageError(error)) {
    io.stderr(`USAGE: ${error.message}\n  what to do: run the command with --help\n`);
    return 2;
  }
  if (!(error instanceof CodedError)) {
    io.stderr(
      `INTERNAL: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\nThis is a bug: please report it.\n`,
    );
    return 70;
  }
  io.stderr(`${error.message}\n  what to do: ${error.fix}\n`);
  return error.exit;
}

/** An ordinary user's build runs as uid 0 of a user namespace: this very command, once more, in there. */
async function enterNamespace(): Promise<number | undefined> {
  const { preflight } = await import("@secai/pipelines/preflight");
  const { reenterAsRoot } = await import("@secai/pipelines/engine/user-namespace");
  if (process.geteuid?.() !== 0) await preflight(["uidmap"]);
  return await reenterAsRoot([process.execPath, ...process.execArgv, ...process.argv.slice(1)]);
}

async function main(argv: readonly string[], io: Io): Promise<number> {
  const [name, ...args] = argv;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    io.stdout(help());
    return name === undefined ? 2 : 0;
  }
  const command = commands[name];
  if (command === undefined) {
    const { closest } = await import("fastest-levenshtein");
    io.stderr(`COMMAND_UNKNOWN: secai has no command "${name}"; did you mean "${closest(name, Object.keys(commands))}"?\n`);
    return 2;
  }
  try {
    const runsSteps = command.sandboxes === true || (command.sandboxes !== undefined && command.sandboxes === args[0]);
    const entered = runsSteps && !args.includes("--help") ? await enterNamespace() : undefined;
    if (entered !== undefined) return entered;
    const run = await command.load();
    return await run(args, io);
  } catch (error) {
    return printError(error, io);
  }
}

const interrupt = new AbortController();
process.on("SIGINT", () => interrupt.abort(new Error("interrupted")));
process.on("SIGTERM", () => interrupt.abort(new Error("terminated")));
process.exitCode = await main(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  top: dirname(import.meta.dirname),
  env: process.env,
  signal: interrupt.signal,
});
