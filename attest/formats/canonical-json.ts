import { isAscii } from "node:buffer";
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
  return parsed(bytes, maxBytes).value;
}

interface Parsed {
  /** The bytes as text: no other bytes have the same, as a byte order mark stays in it. */
  readonly text: string;
  readonly value: JsonValue;
}

function parsed(bytes: Uint8Array, maxBytes: number): Parsed {
  if (bytes.length > maxBytes)
    throw new FormatError("JSON_TOO_LARGE", { expected: `at most ${maxBytes} bytes`, actual: `${bytes.length}` });
  try {
    const text = utf8(bytes);
    return { text, value: JSON.parse(text) as JsonValue };
  } catch (cause) {
    throw new FormatError("JSON_MALFORMED", { expected: "UTF-8 JSON", actual: (cause as Error).message, cause });
  }
}

/** Megabytes of ASCII need no decoder: that they are read ten times as fast shows in the verifier. @throws TypeError for other bytes */
function utf8(bytes: Uint8Array): string {
  if (isAscii(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

/**
 * Parses bytes that must be exactly `canonicalJson(value)` plus one newline: no duplicate keys, no spare white space, so that no byte
 * of a signed file is without meaning.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL
 */
export function parseCanonicalJson(bytes: Uint8Array, maxBytes: number): JsonValue {
  const { text, value } = parsed(bytes, maxBytes);
  if (!isPlainlyCanonical(text, value) && `${printed(value)}\n` !== text) {
    throw new FormatError("JSON_NOT_CANONICAL", {
      expected: "RFC 8785 bytes and one newline",
      actual: "other bytes for the same value",
    });
  }
  return value;
}

/** Whether two parsed documents say the same, in whatever order of keys. @throws RangeError for values deeper than the call stack */
export function isSameJson(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const [left, right] = [one as Members, other as Members];
  const keys = Object.keys(left);
  if (keys.length !== Object.keys(right).length) return false;
  return keys.every((key) => Object.hasOwn(right, key) && isSameJson(left[key], right[key]));
}
type Members = Readonly<Record<string, unknown>>;

/**
 * Whether `text` is seen to be canonical without sorting anything: where every object has its keys in order, JSON.stringify, which keeps
 * them as they are, says what canonicalJson says, in a tenth of the time. False where that cannot be seen: of keys that are whole numbers
 * JavaScript does not keep the order, and a deep value does not fit the stack.
 */
function isPlainlyCanonical(text: string, value: JsonValue): boolean {
  try {
    if (!keysAscend(value)) return false;
    const inOrder = JSON.stringify(value);
    return text.length === inOrder.length + 1 && text.endsWith("\n") && text.startsWith(inOrder);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function keysAscend(value: JsonValue): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) return value.every(keysAscend);
  let before: string | undefined;
  for (const [key, member] of Object.entries(value)) {
    if ((before !== undefined && key <= before) || !keysAscend(member)) return false;
    before = key;
  }
  return true;
}

/** `canonicalJson` for a value from outside, which may be nested deeper than the call stack reaches. */
function printed(value: JsonValue): string {
  try {
    return canonicalJson(value);
  } catch (cause) {
    throw new FormatError("JSON_MALFORMED", { expected: "JSON of sane depth", actual: (cause as Error).message, cause });
  }
}
