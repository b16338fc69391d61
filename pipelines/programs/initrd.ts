// Builds the initrd from the appliance's own root: listed files, the libraries they need, listed kernel modules, nothing else.
// initrd --root DIR --list FILE --overlay DIR --modules a,b,c --out FILE
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

const exists = (path: string) => lstatSync(join(root, path), { throwIfNoEntry: false }) !== undefined;

/** A path with the merged-/usr links resolved: "/lib/x" is "/usr/lib/x". */
function merged(path: string): string {
  return normalize(path).replace(/^\/(bin|sbin|lib|lib64)\//, "/usr/$1/");
}

/** Adds a path, what it links to, and for a folder everything below. */
function collect(path: string, leave: readonly string[], files: Set<string>): void {
  const name = merged(path);
  if (files.has(name) || leave.some((pattern) => matchesGlob(name, pattern))) return;
  const stat = lstatSync(join(root, name));
  if (stat.isDirectory()) {
    for (const child of readdirSync(join(root, name))) collect(join(name, child), leave, files);
    return;
  }
  files.add(name);
  if (!stat.isSymbolicLink()) return;
  const link = readlinkSync(join(root, name));
  const target = link.startsWith("/") ? link : join(dirname(name), link);
  if (exists(merged(target))) collect(target, leave, files);
}

function listedFiles(): Set<string> {
  const { take, leave } = readList(flag("list"));
  const files = new Set<string>();
  for (const pattern of take) {
    const matches = globSync(pattern.slice(1), { cwd: root });
    if (matches.length === 0 && !/[*?[{]/.test(pattern)) throw new Error(`${flag("list")}: ${pattern} is not in the root`);
    for (const match of matches) collect(`/${match}`, leave, files);
  }
  return files;
}

/** Library names that ELF files need, by `readelf -d`: works for any architecture and runs nothing of the root. */
function neededBy(files: readonly string[]): Set<string> {
  const needed = new Set<string>();
  for (let i = 0; i < files.length; i += 200) {
    const output = toolOutput("readelf", ["-dW", ...files.slice(i, i + 200).map((file) => join(root, file))]);
    for (const [, name] of output.matchAll(/\(NEEDED\)\s+Shared library: \[([^\]]+)\]/g))
      if (name !== undefined) needed.add(name);
  }
  return needed;
}

function isElf(path: string): boolean {
  const stat = lstatSync(join(root, path));
  return (
    stat.isFile() && stat.size > 64 && readFileSync(join(root, path)).subarray(0, 4).equals(Buffer.from("\x7fELF", "latin1"))
  );
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
      if (found === undefined) throw new Error(`library ${library} is not in the root`);
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
    const stat = lstatSync(join(root, path));
    if (stat.isSymbolicLink()) symlinkSync(readlinkSync(join(root, path)), target);
    else {
      copyFileSync(join(root, path), target);
      chmodSync(target, stat.mode & 0o7777);
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
  cpSync(flag("overlay"), work, { recursive: true });
  tool("chmod", ["-R", "u=rwX,go=rX", work]);
  if (lstatSync(join(work, "etc/initrd-release"), { throwIfNoEntry: false }) === undefined)
    symlinkSync("../usr/lib/os-release", join(work, "etc/initrd-release"));
  writeFileSync(join(work, "etc/machine-id"), "");
  tool("depmod", ["-b", work, kernel]);
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
  const names = (readdirSync(folder, { recursive: true }) as string[]).sort();
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
