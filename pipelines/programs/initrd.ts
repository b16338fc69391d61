// Builds the initrd from the appliance's own root: listed files, the libraries they need, listed kernel modules, nothing else.
// initrd --root DIR --overlays DIR,DIR --list FILE --initrd-overlay DIR --modules a,b,c --out FILE
import { cpSync, globSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cpio } from "./cpio.ts";
import { Layers } from "./layers.ts";
import { readFlags, sourceDateEpoch, tool, toolOutput } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const root = flag("root");
const work = "/tmp/initrd";

/** Module files with their dependencies; a listed module that is built in needs none. */
function addModules(files: Set<string>, kernel: string): void {
  for (const module of flag("modules").split(",")) {
    const plan = toolOutput("modprobe", ["-d", root, "-S", kernel, "--show-depends", module]);
    for (const line of plan.split("\n").filter((text) => text.startsWith("insmod "))) {
      const path = line.split(" ")[1] ?? "";
      files.add(`/usr/lib/modules/${path.slice(path.indexOf("/lib/modules/") + "/lib/modules/".length)}`);
    }
  }
  for (const index of ["modules.builtin", "modules.builtin.modinfo", "modules.order"])
    files.add(`/usr/lib/modules/${kernel}/${index}`);
}

/** Plain modules pack better inside the compressed archive and load without a decompressor. */
function unpackModules(): void {
  const packed = globSync("usr/lib/modules/**/*.ko.xz", { cwd: work }).map((path) => join(work, path));
  if (packed.length > 0) tool("xz", ["-d", ...packed.sort()]);
}

function skeleton(): void {
  for (const path of [
    "usr/lib",
    "usr/lib64",
    "usr/bin",
    "usr/sbin",
    "etc",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "var/tmp",
    "sysroot",
    "root",
  ]) {
    mkdirSync(join(work, path), { recursive: true, mode: 0o755 });
  }
  const links = {
    bin: "usr/bin",
    sbin: "usr/sbin",
    lib: "usr/lib",
    lib64: "usr/lib64",
    init: "usr/lib/systemd/systemd",
    "var/run": "../run",
  };
  for (const [path, target] of Object.entries(links)) symlinkSync(target, join(work, path));
}

/** systemd starts as an initrd only where /etc/initrd-release is (systemd(1), bootup(7)). */
function finish(kernel: string): void {
  // Verbatim: a relative link would otherwise be made absolute, into this sandbox.
  cpSync(flag("initrd-overlay"), work, { recursive: true, verbatimSymlinks: true });
  tool("chmod", ["-R", "u=rwX,go=rX", work]);
  if (lstatSync(join(work, "etc/initrd-release"), { throwIfNoEntry: false }) === undefined)
    symlinkSync("../usr/lib/os-release", join(work, "etc/initrd-release"));
  writeFileSync(join(work, "etc/machine-id"), "");
  tool("depmod", ["-b", work, kernel]);
}

const [kernel] = readdirSync(join(root, "usr/lib/modules"));
if (kernel === undefined) throw new Error("the root has no kernel modules");
// What overlays bring wins over the distribution's root, as in the image.
const layers = new Layers([...flag("overlays").split(",").reverse(), root]);
const files = layers.listed(flag("list"));
layers.addLibraries(files);
addModules(files, kernel);
skeleton();
layers.copy(files, work);
unpackModules();
finish(kernel);
writeFileSync("/tmp/initrd.cpio", cpio(work, sourceDateEpoch()));
tool("zstd", ["-q", "-12", "--single-thread", "/tmp/initrd.cpio", "-o", flag("out")]);
