import { readFile, stat } from "node:fs/promises";
import { relative } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { type Document, isAlias, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { jsonPath, type Mistake, type MistakeCode, type Position } from "./mistake.ts";

/** Ours have 1-2 KiB; a recipe that is larger than this is not one. */
const MAX_FILE_BYTES = 256 * 1024;

/** One YAML file, with the way back from a value to its line. */
export interface RecipeFile {
  /** From the top of the repository. */
  readonly file: string;
  readonly sha256: Sha256;
  readonly value: unknown;
  /** What is wrong with it as YAML; the rest of a file with such mistakes is not looked at. */
  readonly mistakes: readonly Mistake[];
  /** Where a value stands, or the nearest thing around it. */
  position(path: readonly (string | number)[]): Position;
  /** Where the key of a value stands. */
  keyPosition(path: readonly (string | number)[]): Position;
}

function positions(file: string, document: Document, lines: LineCounter) {
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const position = (path: readonly (string | number)[]): Position => {
    const node = path.length === 0 ? document.contents : document.getIn(path, true);
    if (isNode(node) && node.range) return at(node.range[0]);
    return path.length === 0 ? { file, line: 1, column: 1 } : position(path.slice(0, -1));
  };
  const keyPosition = (path: readonly (string | number)[]): Position => {
    const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
    if (isMap(parent)) {
      for (const { key } of parent.items) {
        if (isScalar(key) && key.value === path.at(-1) && key.range) return at(key.range[0]);
      }
    }
    return position(path);
  };
  return { at, position, keyPosition };
}

function syntaxMistakes(document: Document, at: (offset: number) => Position): Mistake[] {
  const mistakes: Mistake[] = document.errors.map((error) => {
    const code: MistakeCode = error.code === "DUPLICATE_KEY" ? "DUPLICATE" : "YAML_SYNTAX";
    return { ...at(error.pos[0]), code, path: "$", message: error.message };
  });
  visit(document, {
    Node(_key, node) {
      // An alias, an anchor or a tag would let a file say a thing that does not stand where it is used.
      if (isAlias(node) || node.anchor !== undefined || node.tag?.startsWith("!")) {
        mistakes.push({
          ...at(node.range?.[0] ?? 0),
          code: "YAML_ALIAS",
          path: "$",
          message: "anchors, aliases and tags are not used here",
        });
      }
    },
  });
  return mistakes;
}

/** Parses YAML 1.2 (core schema). Never throws: what is wrong stands in `mistakes`. */
export function parseRecipeFile(file: string, text: string): RecipeFile {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    schema: "core",
    uniqueKeys: true,
    version: "1.2",
  });
  const { at, position, keyPosition } = positions(file, document, lines);
  const mistakes = syntaxMistakes(document, at);
  const value: unknown = mistakes.length === 0 ? document.toJS({ maxAliasCount: 0 }) : undefined;
  return { file, sha256: sha256(text), value, mistakes, position, keyPosition };
}

function unreadable(file: string, code: MistakeCode, message: string): RecipeFile {
  const here: Position = { file, line: 1, column: 1 };
  const mistakes: Mistake[] = [{ ...here, code, path: jsonPath([]), message }];
  return { file, sha256: sha256(""), value: undefined, mistakes, position: () => here, keyPosition: () => here };
}

/** Reads one file below `topDir`; a missing or outsized file is a mistake like any other. */
export async function loadRecipeFile(topDir: string, path: string): Promise<RecipeFile> {
  const file = relative(topDir, path);
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) return unreadable(file, "FILE_TOO_LARGE", `${size} bytes; at most ${MAX_FILE_BYTES} are read`);
    return parseRecipeFile(file, await readFile(path, "utf8"));
  } catch (cause) {
    return unreadable(file, "FILE_MISSING", `cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown reason"})`);
  }
}
