import { FormatError } from "./errors.ts";
import type { Shape } from "./shape.ts";

/**
 * Standard base64 with padding (RFC 4648 §4), canonical: the unused bits of the last digit are zero (§3.5), so that one value has one
 * spelling and no character can change without changing the bytes.
 * @throws FormatError BASE64_MALFORMED
 */
export function parseBase64(encoded: string): Buffer {
  const bytes = Buffer.from(encoded, "base64");
  if (bytes.toString("base64") !== encoded)
    throw new FormatError("BASE64_MALFORMED", { expected: "canonical base64", actual: `${encoded.length} characters` });
  return bytes;
}

/** Base64 text in a document; `parseBase64` decodes it. */
export function base64Text(maxLength: number): Shape<string> {
  return {
    schema: { type: "string", contentEncoding: "base64", maxLength },
    mistake: (value, path) =>
      typeof value === "string" && value.length <= maxLength
        ? undefined
        : `${path} is not base64 of at most ${maxLength} characters`,
  };
}
