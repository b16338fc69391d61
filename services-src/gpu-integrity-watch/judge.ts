import { canonicalJson } from "@secai/kit/digest";
import type { BaselineContent, Driver } from "./baseline.ts";
import type { Counters } from "./counters.ts";
import { errorOutcome, type Finding, finding, type Outcome, outcome, pass, skip } from "./outcome.ts";
import { similarity } from "./similarity.ts";

// Pure: what was seen, what should have been seen, what follows. No clock, no I/O.

type Digests = Readonly<Record<string, string>>;

/** Models that are missing, that hold other bytes, or that nobody put into the baseline. */
export function judgeTensors(expected: Digests, actual: Digests): Outcome {
  const names = Object.keys(expected);
  const changed = names.filter((name) => Object.hasOwn(actual, name) && actual[name] !== expected[name]);
  const missing = names.filter((name) => !Object.hasOwn(actual, name));
  const rogue = Object.keys(actual).filter((name) => !Object.hasOwn(expected, name));
  const bad = changed.length + missing.length + rogue.length;
  if (bad === 0) return pass();
  const findings = [
    ...changed.map((name) => finding("critical", "the model holds other bytes than the baseline says", name)),
    ...rogue.map((name) => finding("critical", "a model that the baseline does not name", name)),
    ...missing.map((name) => finding("critical", "a model of the baseline is gone", name)),
  ];
  const status = bad <= Math.floor(names.length / 2) ? "drift" : "fail";
  return outcome(status, names.length === 0 ? 1 : bad / names.length, findings, [...changed, ...rogue, ...missing]);
}

/** How one question was answered. */
export interface Answered {
  readonly name: string;
  readonly expected: string;
  /** undefined: the runtime was there and did not answer as it should. */
  readonly actual: string | undefined;
}

const DRIFT_SIMILARITY = 0.5;

/** @param threshold similarity, 0…1, from which on an answer counts as the expected one */
export function judgeSentinels(answers: readonly Answered[], threshold: number): Outcome {
  const judged = answers.map(({ name, expected, actual }) => ({
    name,
    alike: actual === undefined ? 0 : similarity(expected, actual),
  }));
  const failed = judged.filter(({ alike }) => alike < Math.min(threshold, DRIFT_SIMILARITY));
  const drifted = judged.filter(({ alike }) => alike < threshold && alike >= DRIFT_SIMILARITY);
  const findings = [
    ...failed.map(({ name, alike }) =>
      finding("critical", `the answer has ${percent(alike)} in common with the expected one`, name),
    ),
    ...drifted.map(({ name, alike }) =>
      finding("warning", `the answer has ${percent(alike)} in common with the expected one`, name),
    ),
  ];
  if (failed.length > 0) return outcome("fail", (failed.length + drifted.length) / judged.length, findings);
  if (drifted.length > 0) return outcome("drift", (0.5 * drifted.length) / judged.length, findings);
  return pass();
}

/** Mean distance of repeated answers from the expected ones. */
export function judgeDrift(answers: readonly Answered[]): Outcome {
  const alike = answers.map(({ expected, actual }) => (actual === undefined ? 0 : similarity(expected, actual)));
  const drift = 1 - alike.reduce((sum, value) => sum + value, 0) / alike.length;
  if (drift < 0.1) return pass();
  const isFailure = drift >= DRIFT_SIMILARITY;
  const found = finding(isFailure ? "critical" : "warning", `answers are ${percent(drift)} away from the expected ones`);
  return outcome(isFailure ? "fail" : "drift", drift, [found]);
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;

/**
 * A driver that changed, came or went. With another release its drivers are others, too: those that lie in its sealed root, which the
 * attestor vouches for, are as they should be until the next capture; one whose file is not there is not.
 */
export function judgeDrivers(expected: readonly Driver[], actual: readonly Driver[], isOtherRelease: boolean): Outcome {
  const findings: Finding[] = [];
  for (const driver of actual) {
    const before = expected.find(({ module }) => module === driver.module);
    if (before !== undefined && canonicalJson(before) === canonicalJson(driver)) continue;
    const what =
      before === undefined
        ? "a GPU driver that the baseline does not name"
        : `the GPU driver is another: ${changedParts(before, driver)}`;
    const isSealed = isOtherRelease && driver.file_sha256 !== null;
    findings.push(
      isSealed
        ? finding("info", `${what}; it came with another release: capture a new baseline`, driver.module)
        : finding("critical", what, driver.module),
    );
  }
  if (findings.some(({ severity }) => severity === "critical")) return outcome("fail", 1, findings);
  const gone = expected.filter(({ module }) => !actual.some((driver) => driver.module === module));
  if (gone.length === 0) return pass(...findings);
  return outcome("drift", gone.length / expected.length, [
    ...findings,
    ...gone.map(({ module }) => finding("warning", "a GPU driver of the baseline is not loaded", module)),
  ]);
}

function changedParts(before: Driver, now: Driver): string {
  const parts = ["version", "srcversion", "file_sha256"] as const;
  return parts
    .filter((part) => before[part] !== now[part])
    .map((part) => `${part} ${now[part] ?? "unreadable"} instead of ${before[part] ?? "none"}`)
    .join(", ");
}

export function judgeDevices(expected: readonly string[], actual: readonly string[]): Outcome {
  const unexpected = actual.filter((node) => !expected.includes(node));
  if (unexpected.length > 0)
    return outcome(
      "fail",
      1,
      unexpected.map((node) => finding("critical", "a device node that the baseline does not name", node)),
    );
  const missing = expected.filter((node) => !actual.includes(node));
  if (missing.length === 0) return pass();
  return outcome(
    "drift",
    missing.length / expected.length,
    missing.map((node) => finding("warning", "a device node of the baseline is gone", node)),
  );
}

/** Errors that were not corrected are wrong results; many corrected ones announce them. */
export function judgeEcc(counters: readonly Counters[], maxCorrected: number): Outcome {
  const counted = counters.filter(({ eccEnabled }) => eccEnabled !== null);
  if (counted.length === 0) return skip("no device shows error counters of its memory");
  const over = (key: "uncorrected" | "corrected", limit: number) => counted.filter((card) => (card[key] ?? 0) > limit);
  const uncorrected = over("uncorrected", 0);
  if (uncorrected.length > 0)
    return outcome(
      "fail",
      1,
      uncorrected.map((card) => finding("critical", `${card.uncorrected} uncorrected memory errors`, card.device)),
    );
  const corrected = over("corrected", maxCorrected);
  if (corrected.length > 0)
    return outcome(
      "drift",
      0.4,
      corrected.map((card) => finding("warning", `${card.corrected} corrected memory errors`, card.device)),
    );
  const disabled = counted.filter(({ eccEnabled }) => eccEnabled === false);
  if (disabled.length > 0)
    return outcome(
      "drift",
      0.3,
      disabled.map(({ device }) => finding("warning", "error correction is switched off", device)),
    );
  const silent = counted.filter((card) => card.uncorrected === null);
  if (silent.length > 0) return errorOutcome(0.3, `${silent[0]?.device}: error correction is on, but its counters are not shown`);
  return pass();
}

/** @param maxCelsius limit for devices whose driver names none, or a higher one */
export function judgeThermal(counters: readonly Counters[], maxCelsius: number): Outcome {
  const measured = counters.filter(({ celsius }) => celsius !== null);
  if (measured.length === 0) return skip("no device shows its temperature");
  const hot = measured.filter((card) => (card.celsius ?? 0) >= Math.min(maxCelsius, card.criticalCelsius ?? maxCelsius));
  if (hot.length === 0) return pass();
  return outcome(
    "drift",
    0.4,
    hot.map((card) => finding("warning", `${card.celsius} °C`, card.device)),
  );
}

/** Counters that cannot be true, and memory that was taken out of use. */
export function judgeMemory(counters: readonly Counters[]): Outcome {
  const shown = counters.filter(({ memoryTotal, retired }) => memoryTotal !== null || retired !== null);
  if (shown.length === 0) return skip("no device shows counters of its memory");
  const impossible = shown.filter(
    (card) => card.memoryTotal === 0 || (card.memoryUsed ?? 0) > (card.memoryTotal ?? Number.MAX_SAFE_INTEGER),
  );
  if (impossible.length > 0)
    return outcome(
      "fail",
      1,
      impossible.map((card) => finding("critical", `${card.memoryUsed} of ${card.memoryTotal} in use`, card.device)),
    );
  const retired = shown.filter((card) => (card.retired ?? 0) > 0);
  if (retired.length === 0) return pass();
  return outcome(
    "drift",
    0.4,
    retired.map((card) => finding("warning", `${card.retired} memory pages out of use`, card.device)),
  );
}

/** What a baseline says nothing about cannot be judged. */
export const withReference = <K extends keyof BaselineContent>(
  content: BaselineContent | undefined,
  part: K,
  judge: (expected: NonNullable<BaselineContent[K]>) => Outcome,
): Outcome => {
  if (content === undefined) return skip("no baseline was captured");
  const expected = content[part];
  return expected === null
    ? skip(`the baseline has no ${part}: there was nothing to capture`)
    : judge(expected as NonNullable<BaselineContent[K]>);
};
