import { dirname, join } from "node:path";
import { ExtensionError, named } from "./errors.ts";

/** What an ELF file says of itself in its dynamic section. */
export interface ElfFile {
  /** Relative to the top of its tree. */
  readonly path: string;
  readonly soname: string | undefined;
  readonly needed: readonly string[];
}

/** Reads the output of `readelf -dW FILE...`, which names each file before its section when there are several. */
export function parseReadelf(output: string, top: string): readonly ElfFile[] {
  return output
    .split(/^File: /m)
    .slice(1)
    .map((part) => {
      const path = part.slice(0, part.indexOf("\n")).trim();
      const value = (tag: string) =>
        [...part.matchAll(new RegExp(`\\(${tag}\\)[^[]*\\[([^\\]]+)\\]`, "g"))].map(([, text = ""]) => text);
      return { path: path.slice(top.length + 1), soname: value("SONAME")[0], needed: value("NEEDED") };
    });
}

/** Libraries of the runtime, which lies in the sealed root: backends name it in their RUNPATH. */
const OF_THE_RUNTIME = /^lib(ggml|llama)[a-z0-9._-]*\.so/;

export interface LinkToMake {
  /** Relative to the top of the tree. */
  readonly path: string;
  /** Another path of the tree. */
  readonly target: string;
}

/**
 * Links in the loader's own folder to libraries that lie elsewhere in the extension and that something needs: what packages' scripts make
 * with update-alternatives, and ldconfig from folders that /etc/ld.so.conf names. Neither exists for an extension.
 * @param folder the loader's folder, relative to the top
 * @param available names of the libraries that the loader finds in the image
 * @throws ExtensionError EXTENSION_LIBRARY_MISSING
 */
export function missingLinks(
  files: readonly ElfFile[],
  folder: string,
  available: ReadonlySet<string>,
  present: ReadonlySet<string>,
): readonly LinkToMake[] {
  const bySoname = new Map(
    files.flatMap((file): [string, string][] => (file.soname === undefined ? [] : [[file.soname, file.path]])),
  );
  const links = new Map<string, LinkToMake>();
  const nowhere: string[] = [];
  for (const { path, needed } of files) {
    for (const name of needed) {
      const beside = present.has(join(dirname(path), name));
      if (beside || available.has(name) || present.has(join(folder, name)) || links.has(name)) continue;
      const target = bySoname.get(name);
      if (target !== undefined) links.set(name, { path: join(folder, name), target });
      else if (!OF_THE_RUNTIME.test(name)) nowhere.push(`${name} (needed by /${path})`);
    }
  }
  if (nowhere.length > 0)
    throw new ExtensionError("EXTENSION_LIBRARY_MISSING", { expected: "every needed library", actual: named(nowhere) });
  return [...links.values()];
}
