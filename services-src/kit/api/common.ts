import { type TSchema, Type } from "@sinclair/typebox";

/** Every object on the wire is closed: an unknown member is an error, because nobody would read it. */
export const closed = { additionalProperties: false } as const;

export const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** SHA-256, lower-case hex. */
export const Digest = Type.String({ pattern: "^[0-9a-f]{64}$" });
/** RFC 3339, UTC, with or without a fraction of a second. */
export const Instant = Type.String({ pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?Z$" });
/** A short name: a reporter, a probe, an action. */
export const Name = Type.String({ pattern: "^[a-z][a-z0-9_.-]{0,63}$" });
/** One line of text for people: no control characters, so that no record can fake another. */
export const Line = (maxLength: number) => Type.String({ pattern: "^[^\\u0000-\\u001f\\u007f\\u2028\\u2029]*$", maxLength });
/** An absolute path without control characters. */
export const Path = Type.String({ pattern: "^/[^\\u0000-\\u001f\\u007f]*$", maxLength: 4096 });

/** One of a fixed set of words. */
export function oneOf<const Words extends readonly string[]>(words: Words) {
  return Type.Unsafe<Words[number]>(Type.Union(words.map((word) => Type.Literal(word))) as TSchema);
}
