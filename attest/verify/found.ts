import { CodedError } from "@secai/formats/errors";
import { type CheckResult, fail, pass, undecided } from "./check.ts";

/** A part of the evidence, or why it cannot be had: `absent` when there is nothing to look at, `refused` when it is wrong in itself. */
export type Found<T> =
  | { readonly state: "found"; readonly value: T }
  | { readonly state: "absent"; readonly code: string; readonly detail: string }
  | { readonly state: "refused"; readonly code: string; readonly expected: string; readonly actual: string };

export const found = <T>(value: T): Found<T> => ({ state: "found", value });

/**
 * `parse` applied to what was found; an error of ours becomes a refusal, any other is a bug and goes up. (Not named `then`: a module
 * that exports `then` is taken for a promise by `await import()`, which never settles.)
 */
export function derive<T, U>(part: Found<T>, parse: (value: T) => U): Found<U> {
  if (part.state !== "found") return part;
  try {
    return { state: "found", value: parse(part.value) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { state: "refused", code: error.code, expected: error.expected ?? "-", actual: error.actual ?? "-" };
  }
}

/** The result of a check that needs `part`: what was refused fails it, what is absent leaves it undecided. */
export function when<T>(part: Found<T>, check: (value: T) => CheckResult): CheckResult {
  switch (part.state) {
    case "found":
      return check(part.value);
    case "absent":
      return undecided(part.code, part.detail);
    case "refused":
      return fail(part.code, part.expected, part.actual);
  }
}

/** Like `when`, for a check whose subject is something else: what another check refuses is for this one only missing. */
export function given<T>(part: Found<T>, what: string, check: (value: T) => CheckResult): CheckResult {
  return part.state === "found" ? check(part.value) : undecided("EVIDENCE_UNUSABLE", `${what} cannot be used`);
}

/** Passes when `verify` returns, fails with the code of our error when it throws one. */
export function attempt(verify: () => void): CheckResult {
  return when(derive({ state: "found", value: undefined }, verify), () => pass);
}
