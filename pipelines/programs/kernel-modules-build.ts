// Compiles kernel modules from a package's sources against the headers of one kernel.
// kernel-modules-build --root DIR --source ARCHIVE --folder PATH --patches DIR --modules a,b --make LINES --out DIR
//   --root     has that kernel: the tool root itself, since headers bring their kernel's package along
//   --source   an archive of the tool root; --folder is where in it the Makefile lies
//   --patches  applied in the order of their names; the folder may be empty
//   --modules  what must come out, by file name without ".ko"
//   --make     variables for make, one NAME=VALUE a line
// Writes one stripped, unsigned .ko a module, and the compiler's first line to the file "compiler". Same inputs, same bytes.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { KernelModuleError } from "../modules/errors.ts";
import { headersOf, kernelRelease, kernelVermagic, modinfo } from "../modules/image-kernel.ts";
import { requireSameKernel } from "../modules/modinfo.ts";
import { readFlags, sourceDateEpoch, tool, toolOutput } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const WORK = "/tmp/source";
const lines = (text: string, separator: string) => text.split(separator).filter((line) => line !== "");

function unpack(): string {
  mkdirSync(WORK);
  tool("tar", ["--extract", "--no-same-owner", "--file", flag("source"), "--directory", WORK]);
  return join(WORK, flag("folder"));
}

function applyPatches(source: string): void {
  for (const name of readdirSync(flag("patches")).sort()) {
    const args = [
      "--strip=1",
      "--batch",
      "--forward",
      "--fuzz=0",
      "--no-backup-if-mismatch",
      "--input",
      join(flag("patches"), name),
    ];
    try {
      tool("patch", args, { cwd: source });
    } catch (cause) {
      throw new KernelModuleError("KERNEL_MODULE_PATCH", { expected: `${name} to apply`, actual: "it does not", cause });
    }
  }
}

/** The compiler that the kernel's own configuration names, e.g. "x86_64-linux-gnu-gcc-14". */
function compilerOf(headers: string): string {
  const named = /^CONFIG_CC_VERSION_TEXT="(\S+) /m.exec(readFileSync(join(headers, ".config"), "utf8"))?.[1];
  if (named === undefined)
    throw new KernelModuleError("KERNEL_MODULE_MISMATCH", { expected: "headers that name a compiler", actual: headers });
  return named;
}

/** What would otherwise put this build's place, time or person into a module (kernel documentation, kbuild/reproducible-builds). */
const reproducible = {
  KBUILD_BUILD_TIMESTAMP: `@${sourceDateEpoch()}`,
  KBUILD_BUILD_USER: "secai",
  KBUILD_BUILD_HOST: "secai",
  KBUILD_BUILD_VERSION: "1",
};

function compile(source: string, release: string, compiler: string): void {
  tool(
    "make",
    [
      ...["--directory", source, `--jobs=${availableParallelism()}`, "modules"],
      // By the convention of DKMS the sources' own Makefile takes the release and calls kbuild.
      ...[`KERNEL_UNAME=${release}`, `CC=${compiler}`, `KCFLAGS=-ffile-prefix-map=${WORK}=.`],
      // Neither would be used: lockdown refuses BPF tracing, and debug information is stripped. The first depends on threads, both take time.
      ...["CONFIG_DEBUG_INFO_BTF_MODULES=", "CONFIG_DEBUG_INFO="],
      ...lines(flag("make"), "\n"),
    ],
    { env: reproducible },
  );
}

/** Debug information out of the module; symbols stay, the kernel resolves them by name. */
function collect(source: string, name: string, vermagic: string): void {
  const made = join(source, `${name}.ko`);
  if (!existsSync(made))
    throw new KernelModuleError("KERNEL_MODULE_MISSING", { expected: `${name}.ko`, actual: "make did not link it" });
  const target = join(flag("out"), `${name}.ko`);
  copyFileSync(made, target);
  tool("strip", ["--strip-debug", target]);
  requireSameKernel(modinfo(target), vermagic);
}

const release = kernelRelease(flag("root"));
const vermagic = kernelVermagic(flag("root"), release);
const headers = headersOf(release);
const compiler = compilerOf(headers);
mkdirSync(flag("out"), { recursive: true });
const source = unpack();
applyPatches(source);
compile(source, release, compiler);
for (const name of lines(flag("modules"), ",")) collect(source, name, vermagic);
writeFileSync(join(flag("out"), "compiler"), `${toolOutput(compiler, ["--version"]).split("\n", 1)[0]}\n`);
