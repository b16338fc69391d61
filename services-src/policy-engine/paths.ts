/**
 * Paths as rules compare them. Only the text is judged: whoever opens the file must refuse symbolic links on the way (openat2 with
 * RESOLVE_NO_SYMLINKS), because between this decision and the opening the tree can change.
 */

/** Longest path that is judged, in UTF-16 code units (PATH_MAX of Linux). */
const MAX_PATH_CHARS = 4096;

// Control characters, backslashes and lone surrogates have no place in a path; %2e %2f %5c %00 are dots, separators and NUL in disguise.
const UNPLAIN = /[\p{Cc}\p{Cs}\\]|%(?:2e|2f|5c|00)/iu;

/**
 * The one spelling of an absolute path, or undefined if it is no plain absolute path. "//" and "/./" are cleaned away; ".." is refused
 * rather than resolved, since behind a symbolic link it leads elsewhere than the text says.
 */
export function cleanPath(text: string): string | undefined {
  if (!text.startsWith("/") || text.length > MAX_PATH_CHARS || UNPLAIN.test(text)) return undefined;
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  return parts.includes("..") ? undefined : `/${parts.join("/")}`;
}

/** Directory trees; each name stands for itself and everything beneath it. */
export type PathScope = ReadonlySet<string>;

/** "/a/b/**", "/a/b**" and "/a/b" -> "/a/b". Undefined for the root, relative paths and globs anywhere else. */
export function parseScope(pattern: string): string | undefined {
  const path = cleanPath(pattern.replace(/\/?\*\*$/, ""));
  return path === undefined || path === "/" || /[*?[\]{}]/.test(path) ? undefined : path;
}

/** Whether a cleaned path lies in the scope: one set look-up per level, however many trees there are. */
export function isInScope(scope: PathScope, path: string): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (scope.has(path.slice(0, end))) return true;
  }
  return false;
}
