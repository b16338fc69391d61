import { CodedError } from "../../attest/formats/errors.ts";

/** One parser under fire. */
export interface Target {
  readonly name: string;
  /** Genuine inputs, from which all others are made. */
  readonly seeds: readonly Uint8Array[];
  /** What is tried, at once or as a promise. May throw a CodedError and nothing else. */
  readonly parse: (bytes: Buffer) => unknown;
  /** For a format with one spelling: the bytes of a value that was parsed, which must be those it was parsed from. */
  readonly print?: (value: never) => Uint8Array;
}

/** How a parser answered. `kind` groups answers that are alike. */
export type Answer =
  | { readonly ok: true; readonly kind: string }
  | { readonly ok: false; readonly kind: string; readonly problem: string };

/** Tries one input. Never throws. */
export async function tryInput(target: Target, bytes: Buffer): Promise<Answer> {
  let value: unknown;
  try {
    value = await target.parse(Buffer.from(bytes));
  } catch (error) {
    return error instanceof CodedError ? { ok: true, kind: kindOf(error) } : problemOf(error);
  }
  if (target.print === undefined) return { ok: true, kind: "accepted" };
  try {
    if (Buffer.from(target.print(value as never)).equals(bytes)) return { ok: true, kind: "accepted" };
  } catch (error) {
    return problemOf(error);
  }
  return { ok: false, kind: "round trip", problem: "accepted, but printed as other bytes" };
}

/** Codes of readers that name the first member that is wrong, as a path; a JSON engine's own words would make every input new. */
const BY_MEMBER: ReadonlySet<string> = new Set(["SCHEMA_MISMATCH", "PROFILE_MALFORMED", "PCR_SIGNATURE_MALFORMED"]);

/**
 * An error's code and where in the code it came to be: as near to coverage as one gets without counting branches. Shapes all fail in one
 * place, so there it is the member that is wrong.
 */
function kindOf({ code, actual = "", stack = "" }: CodedError): string {
  const frames = stack.split("\n").filter((line) => line.startsWith("    at "));
  const isMember = BY_MEMBER.has(code) && /^(\/|the document)/.test(actual);
  const member = isMember ? actual.replace(/\d+/g, "#").slice(0, 60) : "";
  return `${code}${member}${frames.slice(0, 4).join("")}`;
}

function problemOf(error: unknown): Answer {
  const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { ok: false, kind: "crash", problem };
}
