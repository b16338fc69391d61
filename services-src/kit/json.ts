import { HttpError } from "./errors.ts";

/** Deepest nesting of arrays and objects a request may have. */
export const MAX_JSON_DEPTH = 16;

/**
 * Parses one UTF-8 JSON value (RFC 8259) and refuses what JSON.parse lets pass: duplicate object keys, of which two readers may keep
 * different ones, the key `__proto__`, and deep nesting.
 * @throws HttpError HTTP_BODY_MALFORMED
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new HttpError("HTTP_BODY_MALFORMED", { expected: "UTF-8 JSON", actual: (cause as Error).message, cause });
  }
  checkKeysAndDepth(text);
  return value;
}

// The text is known to be JSON by now, so strings and brackets are all there is to see: a string followed by ":" is a key.
const TOKEN = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g;

function checkKeysAndDepth(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  for (const [token, colon] of text.matchAll(TOKEN)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (colon !== undefined) addKey(open.at(-1), JSON.parse(token.slice(0, -colon.length)) as string);
    if (open.length > MAX_JSON_DEPTH) malformed(`at most ${MAX_JSON_DEPTH} levels`, "more");
  }
}

function addKey(keys: Set<string> | undefined, key: string): void {
  if (keys?.has(key) === true) malformed("each key once", "a duplicate key");
  if (key === "__proto__") malformed("ordinary keys", "__proto__");
  keys?.add(key);
}

function malformed(expected: string, actual: string): never {
  throw new HttpError("HTTP_BODY_MALFORMED", { expected, actual });
}
