import { VmError } from "./errors.ts";

/** Assertions of scenarios: a failed one is a verdict on the machine (CHECK_FAILED), never a fault of the bench. */
export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (actual === expected) return;
  throw new VmError("CHECK_FAILED", { expected: `${what}: ${show(expected)}`, actual: show(actual) });
}

export function expectMatch(actual: string, pattern: RegExp, what: string): RegExpExecArray {
  const match = pattern.exec(actual);
  if (match !== null) return match;
  throw new VmError("CHECK_FAILED", { expected: `${what}: ${pattern}`, actual: show(actual) });
}

export function expectNoMatch(actual: string, pattern: RegExp, what: string): void {
  const match = pattern.exec(actual);
  if (match !== null) throw new VmError("CHECK_FAILED", { expected: `${what}: nothing like ${pattern}`, actual: show(match[0]) });
}

/** `actual` must be empty; the message shows what it holds. */
export function expectNone(actual: readonly string[] | string, what: string): void {
  const items = typeof actual === "string" ? actual.split("\n").filter((line) => line.trim() !== "") : actual;
  if (items.length > 0) throw new VmError("CHECK_FAILED", { expected: `${what}: none`, actual: show(items.join(" | ")) });
}

export function expectTrue(holds: boolean, expected: string, actual: string): asserts holds {
  if (!holds) throw new VmError("CHECK_FAILED", { expected, actual: show(actual) });
}

/** The error that `action` must throw, whose code says by name what was refused. */
export async function expectCode(action: () => Promise<unknown>, code: string): Promise<void> {
  try {
    await action();
  } catch (error) {
    const actual = (error as { code?: unknown }).code;
    if (actual === code) return;
    throw new VmError("CHECK_FAILED", { expected: code, actual: `${String(actual)}: ${(error as Error).message}`, cause: error });
  }
  throw new VmError("CHECK_FAILED", { expected: code, actual: "no refusal at all" });
}

function show(value: unknown): string {
  const text = typeof value === "string" ? value.trim() : (JSON.stringify(value) ?? String(value));
  return text.length > 800 ? `${text.slice(0, 800)}...` : text;
}
