import { readFileSync } from "node:fs";
import { dirname } from "node:path/posix";
import { type ElfLibrary, parseElf } from "./elf.ts";
import { type LayeredTree, resolveInTrees } from "./layered-tree.ts";

/**
 * Where the loader of a merged-/usr Debian looks beside a library's own RUNPATH (ld.so(8), with Debian's multiarch folder). Its cache and
 * ld.so.conf are left out: the cache of the sealed root does not know what an extension brings.
 */
export const systemFolders = (multiarch: string): readonly string[] => [`/usr/lib/${multiarch}`, "/usr/lib"];

export interface LibraryCheck {
  /** Later trees lie below earlier ones: an extension's first, then the sealed root's. */
  readonly trees: LayeredTree;
  /** Libraries to check, by absolute path in the trees. */
  readonly files: readonly string[];
  /** Libraries that the process holds already when it opens `files`, by absolute path: a needed name that one of them has is there. */
  readonly loaded: readonly string[];
  /** Libraries that are opened by name and not listed in the file that does so. */
  readonly opened?: readonly string[];
  /** Searched after a library's own folders. */
  readonly folders: readonly string[];
}

/** A need that the trees do not meet. */
export interface Unresolved {
  /** The library that needs it, by path in the trees. */
  readonly file: string;
  readonly needs: string;
}

interface Loaded {
  /** Absolute, in the trees. */
  readonly path: string;
  readonly elf: ElfLibrary;
}

/** Reads libraries of a layered tree, each once. */
class Reader {
  readonly #trees: LayeredTree;
  readonly #known = new Map<string, ElfLibrary>();
  constructor(trees: LayeredTree) {
    this.#trees = trees;
  }

  /** @throws BackendError ELF_MALFORMED */
  read(path: string): Loaded | undefined {
    const found = resolveInTrees(this.#trees, path);
    if (found === undefined) return undefined;
    const elf = this.#known.get(found) ?? parseElf(readFileSync(found));
    this.#known.set(found, elf);
    return { path, elf };
  }
}

function searchedFolders({ path, elf }: Loaded, folders: readonly string[]): readonly string[] {
  const origin = dirname(path);
  return [...elf.runpath.map((folder) => folder.replaceAll(/\$ORIGIN|\$\{ORIGIN\}/g, origin)), ...folders];
}

/** A library of another machine is passed over, as the loader does. */
function find(reader: Reader, name: string, by: Loaded, folders: readonly string[]): Loaded | undefined {
  for (const folder of searchedFolders(by, folders)) {
    const found = reader.read(`${folder}/${name}`);
    if (found !== undefined && found.elf.machine === by.elf.machine) return found;
  }
  return undefined;
}

const nameOf = ({ path, elf }: Loaded): string => elf.soname ?? path.slice(path.lastIndexOf("/") + 1);

/**
 * What the loader would miss: libraries that `files`, or anything that they need in turn, name and the trees do not hold, and symbols that
 * none of the libraries found has. Sorted; empty when everything can be loaded.
 * @throws BackendError ELF_MALFORMED
 */
export function unresolvedLibraries({ trees, files, loaded, opened = [], folders }: LibraryCheck): readonly Unresolved[] {
  const reader = new Reader(trees);
  const missing: Unresolved[] = [];
  const present = (path: string): Loaded[] => {
    const library = reader.read(path);
    if (library === undefined) missing.push({ file: path, needs: "itself" });
    return library === undefined ? [] : [library];
  };
  const starts = files.flatMap(present);
  const before = loaded.flatMap(present);
  const names = new Set([...before, ...starts].map(nameOf));
  const waiting = [...before, ...starts];
  const closure = [...waiting];
  const need = (by: Loaded, name: string) => {
    if (names.has(name)) return;
    const found = find(reader, name, by, folders);
    if (found === undefined) {
      if (!missing.some((one) => one.file === by.path && one.needs === name)) missing.push({ file: by.path, needs: name });
    } else {
      names.add(name).add(nameOf(found));
      waiting.push(found);
      closure.push(found);
    }
  };
  for (const start of starts) for (const name of opened) need(start, name);
  for (let library = waiting.shift(); library !== undefined; library = waiting.shift())
    for (const name of library.elf.needed) need(library, name);
  // Without a library its symbols are missing, too: that says nothing new.
  return (missing.length > 0 ? missing : missingSymbols(starts, closure)).toSorted(byFileAndNeed);
}

/** Symbols of `libraries` that nothing in `closure` has: what a library of another release of the runtime shows itself by. */
function missingSymbols(libraries: readonly Loaded[], closure: readonly Loaded[]): readonly Unresolved[] {
  const defined = closure.map(({ elf }) => elf.defined);
  return libraries.flatMap(({ path, elf }) =>
    [...elf.undefined]
      .filter((symbol) => !defined.some((symbols) => symbols.has(symbol)))
      .map((symbol) => ({ file: path, needs: `symbol ${symbol}` })),
  );
}

function byFileAndNeed(a: Unresolved, b: Unresolved): number {
  const [one, other] = [`${a.file}\0${a.needs}`, `${b.file}\0${b.needs}`];
  return one < other ? -1 : one > other ? 1 : 0;
}
