import { LockError } from "./errors.ts";

/** The largest in Debian has 60 KiB. */
const MAX_STANZA_CHARACTERS = 1 << 20;

const fieldLine = /^([!-,./0-9;-~][!-9;-~]*):[ \t]?(.*)$/;

function malformed(expected: string, actual: string): LockError {
  return new LockError("LOCK_ARCHIVE_MALFORMED", { expected, actual: JSON.stringify(actual.slice(0, 80)) });
}

/**
 * One paragraph of a control file (deb822(5)): names in lower case, continuation lines joined by newlines with their first blank
 * removed. No field may come twice.
 * @throws LockError LOCK_ARCHIVE_MALFORMED
 */
export function parseStanza(text: string): ReadonlyMap<string, string> {
  if (text.length > MAX_STANZA_CHARACTERS) throw malformed("a paragraph of at most 1 MiB", text);
  const fields = new Map<string, string>();
  let current: string | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith(" ") || line.startsWith("\t")) {
      if (current === undefined) throw malformed("a field before its continuation", line);
      fields.set(current, `${fields.get(current) ?? ""}\n${line.slice(1)}`);
      continue;
    }
    const [, name, value] = fieldLine.exec(line) ?? [];
    if (name === undefined || value === undefined) throw malformed('"Name: value"', line);
    current = name.toLowerCase();
    if (fields.has(current)) throw malformed("every field once", line);
    fields.set(current, value);
  }
  return fields;
}

/** Splits a control file into paragraphs, without copying it whole. */
export function* paragraphs(text: string): Generator<string> {
  let start = 0;
  while (start < text.length) {
    if (text[start] === "\n") {
      start++;
      continue;
    }
    const end = text.indexOf("\n\n", start);
    const stop = end === -1 ? (text.endsWith("\n") ? text.length - 1 : text.length) : end;
    yield text.slice(start, stop);
    start = stop + 1;
  }
}
