import { distance } from "fastest-levenshtein";

export type MistakeCode =
  | "FILE_MISSING"
  | "FILE_TOO_LARGE"
  | "YAML_SYNTAX"
  | "YAML_ALIAS"
  | "KEY_UNKNOWN"
  | "KEY_MISSING"
  | "VALUE_UNKNOWN"
  | "VALUE_INVALID"
  | "DUPLICATE"
  | "CONFLICT"
  | "EXTENDS_CYCLE"
  | "CONTRADICTION"
  | "UNPINNED";

/** Where something stands; line and column count from 1. */
export interface Position {
  /** From the top of the repository. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing that is wrong with a recipe, where it is wrong. */
export interface Mistake extends Position {
  readonly code: MistakeCode;
  /** JSON path in that file, e.g. `packages[3].name`; `$` for the file itself. */
  readonly path: string;
  readonly message: string;
  /** What was probably meant. */
  readonly suggestion?: string;
}

/** `["packages", 3, "name"]` -> `packages[3].name` */
export function jsonPath(segments: readonly (string | number)[]): string {
  const path = segments.map((segment) => (typeof segment === "number" ? `[${segment}]` : `.${segment}`)).join("");
  return path === "" ? "$" : path.replace(/^\./, "");
}

/** The candidate that `word` is a slip of the pen away from; `undefined` when none is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  // Two letters swapped are two steps; short words are near too many others.
  const allowed = word.length < 4 ? 1 : Math.max(2, Math.floor(word.length / 3));
  let best: { readonly text: string; readonly steps: number } | undefined;
  for (const text of candidates) {
    const steps = distance(word.toLowerCase(), text.toLowerCase());
    if (steps <= allowed && (best === undefined || steps < best.steps)) best = { text, steps };
  }
  return best?.text;
}

function compare(a: Mistake, b: Mistake): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}

/** Mistakes by file and line: the order in which an editor's user mends them. */
export function sortMistakes(mistakes: readonly Mistake[]): readonly Mistake[] {
  return [...mistakes].sort(compare);
}

/** One line a mistake, in the form that editors jump to: `file:line:column: path: message`. */
export function formatMistakes(mistakes: readonly Mistake[]): string {
  return mistakes
    .map((mistake) => {
      const hint = mistake.suggestion === undefined ? "" : `; did you mean "${mistake.suggestion}"?`;
      return `${mistake.file}:${mistake.line}:${mistake.column}: ${mistake.path}: ${mistake.message}${hint} [${mistake.code}]`;
    })
    .join("\n");
}
