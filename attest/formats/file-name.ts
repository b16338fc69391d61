import { FormatError } from "./errors.ts";
import { type Shape, text } from "./shape.ts";

/**
 * A name below the release directory: up to four parts of letters, digits and ". _ + -", none starting with a dot or a dash. No
 * spelling of it means another place, and no two of them look alike but for letter case (`lookAlikes` finds those).
 */
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}(\/[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}){0,3}$/;

export const fileNameShape: Shape<string> = text(FILE_NAME, 403);

export const isFileName = (name: string): boolean => FILE_NAME.test(name);

/** @throws FormatError FILE_NAME_UNSAFE */
export function parseFileName(name: string): string {
  if (!isFileName(name))
    throw new FormatError("FILE_NAME_UNSAFE", { expected: "plain relative name", actual: JSON.stringify(name) });
  return name;
}

/** Names that a file system without letter case would take for one; each group has two or more. */
export function lookAlikes(names: readonly string[]): readonly (readonly string[])[] {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const folded = name.toLowerCase();
    const group = groups.get(folded);
    if (group === undefined) groups.set(folded, [name]);
    else group.push(name);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}
