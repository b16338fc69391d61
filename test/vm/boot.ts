// `make boot`: the newest release in a virtual machine at this terminal, with Secure Boot, a TPM and state that stays.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { CodedError } from "../../attest/formats/errors.ts";
import { top } from "../../scripts/house/tree.ts";
import { runOnTerminal } from "./boot-machine.ts";
import { VmError } from "./errors.ts";
import type { Accelerator } from "./qemu.ts";
import { loadRelease, type Release } from "./release.ts";

const HELP = `make boot                                the newest release
npm run boot -- [OPTIONS]

Boots a release in QEMU: UEFI with Secure Boot and the release's keys enrolled, a software TPM 2.0, the serial console on this terminal.
The first boot of an image makes its machine, shows the recovery key once and takes longer; disk, firmware variables and TPM then stay
in test-results/boot/ until --fresh or \`make clean\`. Another image gets another machine. The release itself is never written.
No network reaches the machine.

Ctrl-A X switches the machine off; Ctrl-C goes to the machine.

  --release DIR        another release than the newest below out/
  --fresh              forget this image's machine and make a new one
  --memory MIB         memory (default 2048)
  --cpus N             processors (default 2)
  --accelerator NAME   kvm or tcg; default: kvm where it works
  --tool-root DIR      root file system with QEMU, OVMF and swtpm; default: $SECAI_TOOL_ROOT, else made when missing

Exit status: 0 the machine was switched off, 2 wrong use, 3 it could not be started.
`;

interface BootOptions {
  readonly release: string | undefined;
  readonly fresh: boolean;
  readonly memoryMib: number;
  readonly cpus: number;
  readonly accelerator: Accelerator | undefined;
  readonly toolRoot: string | undefined;
}

const usage = (expected: string, actual: string) => new VmError("SUITE_USAGE", { expected, actual });

function whole(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d{1,7}$/.test(text) && value >= least && value <= most) return value;
  throw usage(`--${name} from ${least} to ${most}`, text);
}

function acceleratorOf(text: string | undefined): Accelerator | undefined {
  if (text === undefined || text === "kvm" || text === "tcg") return text;
  throw usage("--accelerator kvm or tcg", text);
}

/** @throws VmError SUITE_USAGE */
export function parseBootArguments(argv: readonly string[]): BootOptions | "help" {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  let values: ReturnType<typeof parse>;
  function parse() {
    const options = { release: text, fresh: flag, memory: text, cpus: text, accelerator: text, "tool-root": text, help: flag };
    return parseArgs({ args: [...argv], options }).values;
  }
  try {
    values = parse();
  } catch (cause) {
    throw usage("the options that --help names", (cause as Error).message);
  }
  if (values.help === true) return "help";
  return {
    release: values.release,
    fresh: values.fresh === true,
    memoryMib: whole("memory", values.memory ?? "2048", 512, 1_048_576),
    cpus: whole("cpus", values.cpus ?? "2", 1, 64),
    accelerator: acceleratorOf(values.accelerator),
    toolRoot: values["tool-root"],
  };
}

/** The release directory below out/ that was finished last. @throws VmError CAPABILITY_MISSING */
export function newestRelease(out: string): string {
  const folders = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir).map((name) => join(dir, name)) : []);
  const releases = folders(out)
    .flatMap(folders)
    .flatMap((dir) => {
      const stat = statSync(join(dir, "SHA256SUMS"), { throwIfNoEntry: false });
      return stat === undefined ? [] : [{ dir, finishedMs: stat.mtimeMs }];
    });
  const [newest] = releases.sort((a, b) => b.finishedMs - a.finishedMs);
  if (newest !== undefined) return newest.dir;
  throw new VmError("CAPABILITY_MISSING", { expected: `a release below ${out}`, actual: "none", fix: "Run: make image" });
}

/** Each image has a machine of its own: state of one would not open on another without an update. */
function stateDirectory(release: Release): string {
  const [, recipe = "release", version = ""] = /([^/]+)\/([^/]+)$/.exec(release.dir) ?? [];
  const digest = release.imageDigest.replace(/^sha256:/, "").slice(0, 12);
  return join(top, "test-results", "boot", `${recipe}-${version}-${digest}`);
}

/** The tool root of the release's own recipe has the machines that it runs on. @throws VmError CAPABILITY_MISSING */
function machineToolRoot(release: Release): string {
  const argv = ["scripts/secai.ts", "tools", "machine", "--path", "--recipe", release.manifest().recipe];
  const child = spawnSync(process.execPath, argv, { cwd: top, stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
  const path = child.stdout.trim().split("\n").at(-1) ?? "";
  if (child.status === 0 && path !== "") return path;
  throw new VmError("CAPABILITY_MISSING", { expected: "a tool root with QEMU", actual: "it could not be made; see above" });
}

async function boot(options: BootOptions): Promise<void> {
  const release = loadRelease(options.release ?? newestRelease(join(top, "out")));
  const stateDir = stateDirectory(release);
  if (options.fresh) await rm(stateDir, { recursive: true, force: true });
  const toolRoot = options.toolRoot ?? process.env.SECAI_TOOL_ROOT ?? machineToolRoot(release);
  const { accelerator, ...rest } = options;
  const machine = { ...rest, release, stateDir, toolRoot, ...(accelerator === undefined ? {} : { accelerator }) };
  await runOnTerminal(machine, (start) => {
    console.error(`release   ${relative(top, release.dir)}, root hash ${release.rootHash.slice(0, 16)}...`);
    console.error(`machine   ${relative(top, stateDir)} (${start.first ? "new: its first boot" : "as it was left"})`);
    console.error(`hardware  ${options.cpus} CPUs, ${options.memoryMib} MiB, ${start.accelerator}`);
    if (start.accelerator === "tcg") console.error("          no working KVM here: a boot takes about a minute");
    console.error("          Ctrl-A X switches the machine off\n");
  });
}

async function main(): Promise<number> {
  try {
    const options = parseBootArguments(process.argv.slice(2));
    if (options === "help") process.stdout.write(HELP);
    else await boot(options);
    return 0;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    console.error(`${error.message}\n  what to do: ${error.fix}`);
    return error.exit;
  }
}

if (import.meta.main) process.exitCode = await main();
