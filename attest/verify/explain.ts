import type { Check } from "./check.ts";
import { codeEntry } from "./check-codes.ts";
import { VerifyError } from "./errors.ts";

type Explained = Pick<Check<never, never>, "id" | "title" | "asks" | "codes" | "optional">;

/** One line for each check. */
export function checkList(checks: readonly Explained[]): string {
  const width = Math.max(...checks.map(({ id }) => id.length));
  return checks.map(({ id, title }) => `${id.padEnd(width)}  ${title}\n`).join("");
}

/**
 * What a check asks, the codes it can give, and what to do about each.
 * @throws VerifyError CHECK_UNKNOWN
 */
export function explainCheck(checks: readonly Explained[], id: string): string {
  const check = checks.find((one) => one.id === id);
  if (check === undefined) throw new VerifyError("CHECK_UNKNOWN", { expected: "the id of a check, or list", actual: id });
  const codes = (check.codes ?? []).map((code) => {
    const entry = codeEntry(code);
    return `  ${code}\n    ${entry?.meaning ?? "-"}\n    What to do: ${entry?.fix ?? "-"}\n`;
  });
  const absent = check.optional
    ? "  It may be not present: neither pass nor fail, where the release declares or the policy allows it.\n"
    : "";
  return `${check.id}: ${check.title}.

  ${check.asks ?? check.title}
${absent}
Codes of its own${codes.length === 0 ? ": none" : ""}
${codes.join("")}
A document that does not parse gives its parser's code instead, e.g. SCHEMA_MISMATCH; docs/errors.md has them all.
`;
}
