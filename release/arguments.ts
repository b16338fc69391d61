import { parseArgs } from "node:util";
import type { ErrorDetail } from "@secai/formats/errors";

/** As `parseArgs` of node:util takes them. */
export type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>["options"]>;

/**
 * Options and names of a command; nothing unknown.
 * @throws what `refuse` makes of it: each command has a code of its own for wrong use
 */
export function parseArguments<const O extends Options>(
  args: readonly string[],
  options: O,
  refuse: (detail: ErrorDetail) => Error,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw refuse({ expected: "known options", actual: (cause as Error).message, cause });
  }
}
