import {
  chmodSync,
  copyFileSync,
  globSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
} from "node:fs";
import { dirname, join, matchesGlob, normalize } from "node:path";
import { isElfFile } from "./elf-file.ts";
import { toolOutput } from "./tool.ts";

/** A path with the merged-/usr links resolved: "/lib/x" is "/usr/lib/x". */
function merged(path: string): string {
  return normalize(path).replace(/^\/(bin|sbin|lib|lib64)\//, "/usr/$1/");
}

/** Lines of a list: what to take, and what to leave out of what the globs took. `#` starts a comment. */
export function readList(path: string): { readonly take: readonly string[]; readonly leave: readonly string[] } {
  const lines = readFileSync(path, "utf8")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  return {
    take: lines.filter((line) => !line.startsWith("!")),
    leave: lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1)),
  };
}

/** Root trees seen as one: the first that has a path wins. */
export class Layers {
  readonly #roots: readonly string[];

  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  exists(path: string): boolean {
    return this.#locate(path) !== undefined;
  }

  /** Where a path really lies. @throws Error when no tree has it */
  located(path: string): string {
    const full = this.#locate(path);
    if (full === undefined) throw new Error(`${path} is in none of ${this.#roots.join(", ")}`);
    return full;
  }

  /** What the list of `file` names, with everything that it links to. @throws Error for a line that names nothing */
  listed(file: string): Set<string> {
    const { take, leave } = readList(file);
    const files = new Set<string>();
    for (const pattern of take) {
      const matches = this.#matchesOf(pattern);
      if (matches.length === 0) throw new Error(`${file}: ${pattern} is in none of ${this.#roots.join(", ")}`);
      for (const match of matches) this.#collect(`/${match}`, leave, files);
    }
    return files;
  }

  /** Adds the libraries of every ELF file, and theirs, until nothing new is needed. @throws Error for a library that is nowhere */
  addLibraries(files: Set<string>): void {
    const folders = [
      "/usr/lib",
      "/usr/lib64",
      "/usr/lib/systemd",
      ...this.#roots.flatMap((cwd) => globSync("usr/lib/*-linux-gnu{,/systemd}", { cwd }).map((path) => `/${path}`)),
    ];
    let fresh = [...files].filter((path) => this.#isElf(path));
    while (fresh.length > 0) {
      const before = new Set(files);
      for (const library of this.#neededBy(fresh)) {
        const found = folders.map((folder) => join(folder, library)).find((path) => this.exists(path));
        if (found === undefined) throw new Error(`library ${library} is in none of ${this.#roots.join(", ")}`);
        this.#collect(found, [], files);
      }
      fresh = [...files].filter((file) => !before.has(file) && this.#isElf(file));
    }
  }

  /** Copies files to below `target`; modes become 0644 or 0755. */
  copy(files: ReadonlySet<string>, target: string): void {
    for (const path of [...files].sort()) {
      const to = join(target, path);
      mkdirSync(dirname(to), { recursive: true });
      const full = this.located(path);
      const stat = lstatSync(full);
      if (stat.isSymbolicLink()) symlinkSync(readlinkSync(full), to);
      else {
        copyFileSync(full, to);
        chmodSync(to, (stat.mode & 0o100) === 0 ? 0o644 : 0o755);
      }
    }
  }

  #locate(path: string): string | undefined {
    return this.#roots.map((root) => join(root, path)).find((full) => lstatSync(full, { throwIfNoEntry: false }) !== undefined);
  }

  /** A pattern without wild cards is a path in which a backslash takes the next character as it is. */
  #matchesOf(pattern: string): readonly string[] {
    const literal = pattern.replace(/\\(.)/g, "$1");
    if (this.exists(literal)) return [literal.slice(1)];
    return this.#roots.flatMap((root) => globSync(pattern.slice(1), { cwd: root }));
  }

  /** Adds a path, what it links to, and for a folder everything below. */
  #collect(path: string, leave: readonly string[], files: Set<string>): void {
    const name = merged(path);
    if (files.has(name) || leave.some((pattern) => matchesGlob(name, pattern))) return;
    const stat = lstatSync(this.located(name));
    if (stat.isDirectory()) {
      for (const child of this.#childrenOf(name)) this.#collect(join(name, child), leave, files);
      return;
    }
    files.add(name);
    if (!stat.isSymbolicLink()) return;
    const link = readlinkSync(this.located(name));
    const target = link.startsWith("/") ? link : join(dirname(name), link);
    if (this.exists(merged(target))) this.#collect(target, leave, files);
  }

  #childrenOf(folder: string): readonly string[] {
    return this.#roots.flatMap((root) => {
      const full = join(root, folder);
      return lstatSync(full, { throwIfNoEntry: false })?.isDirectory() === true ? readdirSync(full) : [];
    });
  }

  /** Library names that ELF files need, by `readelf -d`: works for any architecture and runs nothing of the trees. */
  #neededBy(files: readonly string[]): Set<string> {
    const needed = new Set<string>();
    for (let i = 0; i < files.length; i += 200) {
      const output = toolOutput("readelf", ["-dW", ...files.slice(i, i + 200).map((path) => this.located(path))]);
      for (const [, name] of output.matchAll(/\(NEEDED\)\s+Shared library: \[([^\]]+)\]/g))
        if (name !== undefined) needed.add(name);
    }
    return needed;
  }

  #isElf(path: string): boolean {
    const full = this.located(path);
    return isElfFile(full, lstatSync(full));
  }
}
