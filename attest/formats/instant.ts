import { FormatError } from "./errors.ts";
import { text } from "./shape.ts";

/** RFC 3339 in UTC, whole seconds: one spelling for one instant, so that instants of signed files compare as they read. */
export const instantShape = text(/^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/, 20);

/** Milliseconds in a day of UTC. */
export const DAY_MS = 86_400_000;

/** The second in which `ms` (milliseconds since 1970) lies. */
export function instantOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z");
}

/**
 * Milliseconds since 1970.
 * @throws FormatError SCHEMA_MISMATCH for a day that its month does not have
 */
export function instantMs(instant: string): number {
  const ms = Date.parse(instant);
  if (Number.isNaN(ms) || instantOf(ms) !== instant)
    throw new FormatError("SCHEMA_MISMATCH", { expected: "a day of the calendar, in UTC and whole seconds", actual: instant });
  return ms;
}
