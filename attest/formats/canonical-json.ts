import { FormatError } from "./errors.ts";

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/**
 * RFC 8785 (JCS) serialisation: keys sorted by UTF-16 code units, no white space, ECMAScript numbers. `undefined` members are left out.
 * @throws TypeError on values JSON cannot hold (NaN, functions, cycles)
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`${value} has no JSON form`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(",")}]`;
  if (typeof value === "object") return canonicalObject(value as Readonly<Record<string, unknown>>);
  throw new TypeError(`a ${typeof value} has no JSON form`);
}

/** Without intermediate arrays: an image's SBOM has a hundred thousand members. `sort` without a function is by UTF-16 code units. */
function canonicalObject(value: Readonly<Record<string, unknown>>): string {
  let text = "";
  for (const key of Object.keys(value).sort()) {
    const member = value[key];
    if (member !== undefined) text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${canonicalJson(member)}`;
  }
  return `{${text}}`;
}

/**
 * Parses UTF-8 JSON in any spelling.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED
 */
export function parseJson(bytes: Uint8Array, maxBytes: number): JsonValue {
  if (bytes.length > maxBytes)
    throw new FormatError("JSON_TOO_LARGE", { expected: `at most ${maxBytes} bytes`, actual: `${bytes.length}` });
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) as JsonValue;
  } catch (cause) {
    throw new FormatError("JSON_MALFORMED", { expected: "UTF-8 JSON", actual: (cause as Error).message, cause });
  }
}

/**
 * Parses bytes that must be exactly `canonicalJson(value)` plus one newline: no duplicate keys, no spare white space, so that no byte
 * of a signed file is without meaning.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL
 */
export function parseCanonicalJson(bytes: Uint8Array, maxBytes: number): JsonValue {
  const value = parseJson(bytes, maxBytes);
  if (!Buffer.from(`${printed(value)}\n`).equals(bytes)) {
    throw new FormatError("JSON_NOT_CANONICAL", {
      expected: "RFC 8785 bytes and one newline",
      actual: "other bytes for the same value",
    });
  }
  return value;
}

/** `canonicalJson` for a value from outside, which may be nested deeper than the call stack reaches. */
function printed(value: JsonValue): string {
  try {
    return canonicalJson(value);
  } catch (cause) {
    throw new FormatError("JSON_MALFORMED", { expected: "JSON of sane depth", actual: (cause as Error).message, cause });
  }
}
