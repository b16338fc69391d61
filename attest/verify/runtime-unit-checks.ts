import type { SubjectResult } from "./check.ts";
import { type FileState, isSealedPath, type UnitState } from "./runtime-state.ts";
import { type RuntimeCheck, type StateQuestion, stateCheck, wrong } from "./runtime-state-check.ts";

/** Units that systemd makes of what it finds, without a file: mounts are looked at as mounts, slices and PID 1's scope run nothing new. */
const WITHOUT_FILE = /(?:\.mount|\.slice|^init\.scope)$/;

/** Whether the release's generators, or the site, answer for a unit file below /run. */
function isAnswered({ running, policy }: StateQuestion, { path, sha256 }: FileState): boolean {
  if (running.generated.some((file) => file.path === path && file.sha256 === sha256)) return true;
  const name = path.slice(path.lastIndexOf("/") + 1);
  return sha256 !== null && policy.units?.get(name) === sha256;
}

/** What is wrong with a unit's file or drop-in, or nothing. */
function fileMistake(question: StateQuestion, unit: string, file: FileState, code: "UNIT" | "DROP_IN"): readonly SubjectResult[] {
  const subject = code === "UNIT" ? unit : `${unit}: ${file.path}`;
  const actual = `${file.path} ${file.sha256 ?? "unreadable"}`;
  if (!isSealedPath(file.path))
    return isAnswered(question, file) ? [] : [wrong(subject, `${code}_UNKNOWN`, "files of the sealed root", actual)];
  const expected = question.sealed.get(file.path);
  if (expected === undefined) return [wrong(subject, `${code}_UNKNOWN`, "files of the sealed root", actual)];
  return expected === file.sha256 ? [] : [wrong(subject, `${code}_CHANGED`, `${file.path} ${expected}`, actual)];
}

function unitMistakes(question: StateQuestion, unit: UnitState): readonly SubjectResult[] {
  const { name, load, fragment, dropIns } = unit;
  // A masked unit cannot run; what masks it lies in the sealed /etc or shows among the files of /run.
  if (load === "masked" || load === "not-found") return [];
  const dropInMistakes = dropIns.flatMap((file) => fileMistake(question, name, file, "DROP_IN"));
  if (fragment !== null) return [...fileMistake(question, name, fragment, "UNIT"), ...dropInMistakes];
  return WITHOUT_FILE.test(name)
    ? dropInMistakes
    : [wrong(name, "UNIT_UNKNOWN", "a unit of the sealed root", "no file"), ...dropInMistakes];
}

const unitsCheck = stateCheck(
  "runtime.units",
  "Every loaded unit is the release's, without foreign drop-ins, and nothing in /run adds or replaces one",
  "Compares each unit's file and drop-ins with the baseline, and the folders of /run with what the sealed generators make.",
  ["UNIT_UNKNOWN", "UNIT_CHANGED", "UNIT_FILE_UNKNOWN", "DROP_IN_UNKNOWN", "DROP_IN_CHANGED"],
  (question) => [
    ...question.running.units.flatMap((unit) => unitMistakes(question, unit)),
    ...question.running.unitFiles.flatMap((file) =>
      isAnswered(question, file)
        ? []
        : [wrong(file.path, "UNIT_FILE_UNKNOWN", "what the sealed generators make", file.sha256 ?? "unreadable")],
    ),
  ],
);

const failedUnitsCheck = stateCheck(
  "runtime.failed-units",
  "No unit has failed",
  "Looks at the state of every loaded unit.",
  ["UNIT_FAILED"],
  ({ running }) =>
    running.units.flatMap(({ name, active }) => (active === "failed" ? [wrong(name, "UNIT_FAILED", "not failed", active)] : [])),
);

export const unitChecks: readonly RuntimeCheck[] = [unitsCheck, failedUnitsCheck];
