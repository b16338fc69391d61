import { FormatError } from "./errors.ts";

/** @throws FormatError DUPLICATE_ENTRY */
export function requireDistinct(names: readonly string[], what: string): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw new FormatError("DUPLICATE_ENTRY", { expected: `${what} named once`, actual: `${name} twice` });
    seen.add(name);
  }
}
