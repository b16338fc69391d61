import type { CommandIo } from "./command.ts";
import { VerifyError } from "./errors.ts";
import { checkList, explainCheck } from "./explain.ts";
import { fileChecks } from "./file-checks.ts";
import { releaseChecks } from "./release-checks.ts";
import { runtimeChecks } from "./runtime-checks.ts";

/** Every check of this verifier, in the order of its reports. */
export const allChecks = [...releaseChecks, ...fileChecks, ...runtimeChecks] as const;

/** One check explained, or all of them listed. @throws VerifyError CHECK_UNKNOWN */
export const explained = (id: string): string => (id === "list" ? checkList(allChecks) : explainCheck(allChecks, id));

/** @throws VerifyError VERIFY_USAGE, CHECK_UNKNOWN */
export async function runExplain(args: readonly string[], io: CommandIo): Promise<number> {
  const [id, ...more] = args;
  if (id === undefined || more.length > 0)
    throw new VerifyError("VERIFY_USAGE", { expected: "the id of one check, or list", actual: `${args.length} arguments` });
  io.stdout(explained(id));
  return 0;
}
