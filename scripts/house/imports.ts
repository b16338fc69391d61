import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** One import, as the compiler resolved it; paths are relative to the directory of the tsconfig.json. */
export interface ImportEdge {
  readonly from: string;
  readonly to: string;
  readonly specifier: string;
}

export interface ImportGraph {
  /** Every source file of the program that is not below node_modules. */
  readonly files: readonly string[];
  readonly imports: readonly ImportEdge[];
}

const IMPORTED = /^\s+Imported via "(?<specifier>[^"]+)" from file '(?<from>[^']+)'/;

/**
 * Reads what `tsc --explainFiles` prints: each file on a line of its own, its reasons indented below it. The compiler sees what a
 * scanner of ours would miss: `import type`, `import("...")` in expressions and in types, `export ... from`, `require`.
 */
export function parseExplainedFiles(text: string): ImportGraph {
  const files: string[] = [];
  const imports: ImportEdge[] = [];
  let to: string | undefined;
  for (const line of text.split("\n")) {
    if (/^\S+\.[cm]?ts$/.test(line)) {
      to = line;
      if (!line.includes("node_modules/")) files.push(line);
      continue;
    }
    const reason = IMPORTED.exec(line)?.groups;
    if (to === undefined || reason?.from === undefined || reason.specifier === undefined) continue;
    if (!reason.from.includes("node_modules/")) imports.push({ from: reason.from, to, specifier: reason.specifier });
  }
  return { files, imports };
}

/** The import graph of the program that `tsconfig` in `directory` describes. Type errors do not matter here. */
export function readImportGraph(directory: string, compiler: string): ImportGraph {
  const { stdout, error } = spawnSync(process.execPath, [compiler, "-p", join(directory, "tsconfig.json"), "--explainFiles"], {
    cwd: directory,
    encoding: "utf8",
    maxBuffer: 256 << 20,
  });
  if (error !== undefined) throw error;
  return parseExplainedFiles(stdout);
}
