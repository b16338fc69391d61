import type { Baseline } from "@secai/formats/baseline";
import { about, type Check, fail, notPresent, pass, type SubjectResult, undecided } from "./check.ts";
import type { RuntimeCode } from "./runtime-codes.ts";
import type { RuntimeFacts } from "./runtime-facts.ts";
import type { RuntimePolicy } from "./runtime-policy.ts";
import type { RunningState } from "./runtime-state.ts";

export type RuntimeCheck = Check<RuntimeFacts, RuntimePolicy>;

/** What a check of the running system compares. */
export interface StateQuestion {
  readonly running: RunningState;
  readonly baseline: Baseline;
  /** Digest of each file of the sealed root and of the extensions that are merged, by path. */
  readonly sealed: ReadonlyMap<string, string>;
  readonly policy: RuntimePolicy;
}

/** One thing that is not as the release has it. */
export const wrong = (subject: string, code: string, expected: string, actual: string): SubjectResult =>
  about(subject, fail(code, expected, actual));

/** Maps are made once for a baseline, however many checks look at it: it names every file of the root. */
const sealedFiles = new WeakMap<Baseline, ReadonlyMap<string, string>>();
function rootFilesOf(baseline: Baseline): ReadonlyMap<string, string> {
  const known = sealedFiles.get(baseline);
  if (known !== undefined) return known;
  const made = new Map(digestsOf(baseline.files));
  sealedFiles.set(baseline, made);
  return made;
}

const digestsOf = (files: Baseline["files"]) =>
  files.flatMap((entry) => (entry.type === "file" ? [[entry.path, entry.sha256] as const] : []));

/** The extensions of the release that a machine says it has merged; whether they are what they are called is a check of its own. */
function mergedOf({ extensions = [] }: Baseline, { overlay }: RunningState): NonNullable<Baseline["extensions"]> {
  const names = new Set(overlay?.layers.map(({ name }) => name));
  return extensions.filter(({ name }) => names.has(name));
}

function sealedOf(baseline: Baseline, running: RunningState): ReadonlyMap<string, string> {
  const root = rootFilesOf(baseline);
  const merged = mergedOf(baseline, running);
  return merged.length === 0 ? root : new Map([...root, ...merged.flatMap(({ files }) => digestsOf(files))]);
}

/**
 * A check of what the collector saw against the release's baseline. The collector is software of the sealed root and nothing signs what it
 * saw: an answer is worth as much as the boot that the quote proves, and root on the running machine could have made it up.
 */
export function stateCheck(
  id: string,
  title: string,
  asks: string,
  codes: readonly RuntimeCode[],
  compare: (question: StateQuestion) => readonly SubjectResult[],
): RuntimeCheck {
  return {
    id,
    title,
    asks,
    codes: [...codes, "BASELINE_MISSING", "STATE_MISSING"],
    run({ evidence: { running } }, policy) {
      const { baseline, release } = policy;
      if (baseline === undefined && release === undefined) return notPresent("only measurements were given, no baseline");
      if (baseline === undefined) return undecided("BASELINE_MISSING", "the release has no usable baseline.json");
      if (running === undefined) return undecided("STATE_MISSING", "the machine's collector tells of its boot alone");
      const mistakes = compare({ running, baseline, sealed: sealedOf(baseline, running), policy });
      return mistakes.length === 0 ? pass : mistakes;
    },
  };
}
