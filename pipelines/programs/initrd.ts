// Builds the initrd from the appliance's own root: listed files, the libraries they need, listed kernel modules, nothing else.
// initrd --root DIR --overlays DIR,DIR --list FILE --initrd-overlay DIR --modules a,b,c --out FILE
import {
  chmodSync,
  copyFileSync,
  cpSync,
  globSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, matchesGlob, normalize } from "node:path";
import { readFlags, sourceDateEpoch, tool, toolOutput } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const root = flag("root");
const work = "/tmp/initrd";

/** Lines of the list: what to take, and what to leave out of what the globs took. `#` starts a comment. */
function readList(path: string): { readonly take: readonly string[]; readonly leave: readonly string[] } {
  const lines = readFileSync(path, "utf8")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  return {
    take: lines.filter((line) => !line.startsWith("!")),
    leave: lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1)),
  };
}

const overlays = flag("overlays").split(",").reverse();

/** Where a file of the image lies: what overlays bring wins over the distribution's root, as in the image. */
function locate(path: string): string | undefined {
  return [...overlays, root]
    .map((layer) => join(layer, path))
    .find((full) => lstatSync(full, { throwIfNoEntry: false }) !== undefined);
}

function located(path: string): string {
  const full = locate(path);
  if (full === undefined) throw new Error(`${path} is not in the image`);
  return full;
}

const exists = (path: string) => locate(path) !== undefined;

/** A path with the merged-/usr links resolved: "/lib/x" is "/usr/lib/x". */
function merged(path: string): string {
  return normalize(path).replace(/^\/(bin|sbin|lib|lib64)\//, "/usr/$1/");
}

/** Adds a path, what it links to, and for a folder everything below. */
function collect(path: string, leave: readonly string[], files: Set<string>): void {
  const name = merged(path);
  if (files.has(name) || leave.some((pattern) => matchesGlob(name, pattern))) return;
  const stat = lstatSync(located(name));
  if (stat.isDirectory()) {
    for (const layer of [...overlays, root]) {
      const children =
        lstatSync(join(layer, name), { throwIfNoEntry: false })?.isDirectory() === true ? readdirSync(join(layer, name)) : [];
      for (const child of children) collect(join(name, child), leave, files);
    }
    return;
  }
  files.add(name);
  if (!stat.isSymbolicLink()) return;
  const link = readlinkSync(located(name));
  const target = link.startsWith("/") ? link : join(dirname(name), link);
  if (exists(merged(target))) collect(target, leave, files);
}

/** A pattern without wild cards is a path in which a backslash takes the next character as it is. */
function matchesOf(pattern: string): readonly string[] {
  const literal = pattern.replace(/\\(.)/g, "$1");
  if (exists(literal)) return [literal.slice(1)];
  return [...overlays, root].flatMap((layer) => globSync(pattern.slice(1), { cwd: layer }));
}

function listedFiles(): Set<string> {
  const { take, leave } = readList(flag("list"));
  const files = new Set<string>();
  for (const pattern of take) {
    const matches = matchesOf(pattern);
    if (matches.length === 0) throw new Error(`${flag("list")}: ${pattern} is not in the image`);
    for (const match of matches) collect(`/${match}`, leave, files);
  }
  return files;
}

/** Library names that ELF files need, by `readelf -d`: works for any architecture and runs nothing of the root. */
function neededBy(files: readonly string[]): Set<string> {
  const needed = new Set<string>();
  for (let i = 0; i < files.length; i += 200) {
    const output = toolOutput("readelf", ["-dW", ...files.slice(i, i + 200).map(located)]);
    for (const [, name] of output.matchAll(/\(NEEDED\)\s+Shared library: \[([^\]]+)\]/g))
      if (name !== undefined) needed.add(name);
  }
  return needed;
}

function isElf(path: string): boolean {
  const stat = lstatSync(located(path));
  return stat.isFile() && stat.size > 64 && readFileSync(located(path)).subarray(0, 4).equals(Buffer.from("\x7fELF", "latin1"));
}

/** Adds the libraries of every ELF file, and theirs, until nothing new is needed. */
function addLibraries(files: Set<string>): void {
  const folders = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/systemd",
    ...globSync("usr/lib/*-linux-gnu{,/systemd}", { cwd: root }).map((path) => `/${path}`),
  ];
  let fresh = [...files].filter(isElf);
  while (fresh.length > 0) {
    const before = new Set(files);
    for (const library of neededBy(fresh)) {
      const found = folders.map((folder) => join(folder, library)).find(exists);
      if (found === undefined) throw new Error(`library ${library} is not in the image`);
      collect(found, [], files);
    }
    fresh = [...files].filter((file) => !before.has(file) && isElf(file));
  }
}

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

function copyFiles(files: ReadonlySet<string>): void {
  for (const path of [...files].sort()) {
    const target = join(work, path);
    mkdirSync(dirname(target), { recursive: true });
    const full = located(path);
    const stat = lstatSync(full);
    if (stat.isSymbolicLink()) symlinkSync(readlinkSync(full), target);
    else {
      copyFileSync(full, target);
      chmodSync(target, (stat.mode & 0o100) === 0 ? 0o644 : 0o755);
    }
  }
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

/** Paths below a folder; links are not followed (a recursive readdir would). */
function everythingBelow(folder: string, prefix: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => [
    `${prefix}${entry.name}`,
    ...(entry.isDirectory() ? everythingBelow(join(folder, entry.name), `${prefix}${entry.name}/`) : []),
  ]);
}

/** newc archive (Documentation/driver-api/early-userspace/buffer-format.rst): sorted, one time, owner 0, counted inodes. */
function cpio(folder: string, time: number): Buffer {
  const parts: Buffer[] = [];
  const entry = (name: string, mode: number, data: Buffer, inode: number) => {
    const path = Buffer.from(`${name}\0`);
    const fields = [inode, mode, 0, 0, 1, time, data.length, 0, 0, 0, 0, path.length, 0];
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
    parts.push(header, path, Buffer.alloc(-(header.length + path.length) & 3), data, Buffer.alloc(-data.length & 3));
  };
  const names = everythingBelow(folder, "").sort();
  for (const [index, name] of names.entries()) {
    const path = join(folder, name);
    const stat = lstatSync(path);
    const data = stat.isSymbolicLink() ? Buffer.from(readlinkSync(path)) : stat.isFile() ? readFileSync(path) : Buffer.alloc(0);
    entry(name, stat.isSymbolicLink() ? 0o120777 : stat.mode, data, index + 1);
  }
  entry("TRAILER!!!", 0, Buffer.alloc(0), 0);
  return Buffer.concat(parts);
}

const [kernel] = readdirSync(join(root, "usr/lib/modules"));
if (kernel === undefined) throw new Error("the root has no kernel modules");
const files = listedFiles();
addLibraries(files);
addModules(files, kernel);
skeleton();
copyFiles(files);
unpackModules();
finish(kernel);
writeFileSync("/tmp/initrd.cpio", cpio(work, sourceDateEpoch()));
tool("zstd", ["-q", "-12", "--single-thread", "/tmp/initrd.cpio", "-o", flag("out")]);
