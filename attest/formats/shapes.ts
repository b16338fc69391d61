import { text } from "./shape.ts";

// Small shapes that several documents share.

/** 64 lower-case hex digits. */
export const sha256Shape = text(/^[0-9a-f]{64}$/, 64);
/** RFC 3339 in UTC, seconds, e.g. "2026-01-31T09:30:00Z" (fractions allowed). */
export const timestampShape = text(
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?Z$/,
  40,
);
/** RFC 3986 in shape only: a scheme and printable ASCII. */
export const uriShape = text(/^[a-z][a-z0-9+.-]*:[!-~]+$/, 2048);
/** One line of printable ASCII. */
export const lineShape = text(/^[ -~]+$/, 1024);
/** A recipe or service name. */
export const nameShape = text(/^[a-z0-9][a-z0-9.-]{0,63}$/, 64);
/** A release version: digits first, so that it sorts and cannot be an option. */
export const versionShape = text(/^[0-9][0-9A-Za-z.+~-]{0,63}$/, 64);
