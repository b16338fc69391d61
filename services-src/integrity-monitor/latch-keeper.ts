import type { AuditLog } from "@secai/kit/audit";
import { canonicalJson } from "@secai/kit/digest";
import { errorFields, type Log } from "@secai/kit/log";
import type { Outbox } from "@secai/kit/outbox";
import type { Report } from "@secai/kit/reporting";
import type { Clock } from "@secai/kit/sources";
import type { LatchFile } from "./baseline.ts";
import { createQueue } from "./queue.ts";
import { buildReport } from "./report.ts";
import type { SignedFile } from "./signed-file.ts";
import { type Latch, latchAfter, latchReported, openLatch } from "./state.ts";
import { actions, digestOf, fingerprintOf, sortViolations, type Violation, violationKey } from "./violation.ts";

/** Violations of one look that get an audit record of their own; the rest is in the summary's count and digest. */
const MAX_RECORDED = 50;

/** A set that goes on growing is reported again after this long, in ms: not with every file that joins it. */
const REPORT_MS = 2_000;

export interface LatchKeeperParts {
  readonly file: SignedFile<LatchFile>;
  readonly audit: Pick<AuditLog, "append">;
  readonly reporter: Pick<Outbox<Report>, "put">;
  readonly clock: Clock;
  readonly log: Log;
  readonly initial: LatchFile;
}

/** Holds the latch and everything that must outlive this process: the latch on the disk, the audit records, the reports. */
export interface LatchKeeper {
  latch(): Latch;
  generation(): number;
  /** After a look: what stands, what was done and undone. Never throws: what cannot be written is written at the next look. */
  settle(standing: readonly Violation[], noticed: readonly Violation[], threshold: number, scanCount: number): Promise<void>;
  /**
   * Opens the latch if `isClean` still says so once nothing else is being settled: what is noticed later falls into the open latch.
   * @throws what the disk says: without the record nothing is opened
   */
  release(
    data: { readonly incident_id: string; readonly binding: string; readonly request_id: string },
    isClean: () => boolean,
  ): Promise<boolean>;
  /** Another baseline is in force. @throws what the disk says */
  setGeneration(generation: number): Promise<void>;
  /** Whether all that should be on the disk is there. */
  isSaved(): boolean;
}

export function createLatchKeeper({ file, audit, reporter, clock, log, initial }: LatchKeeperParts): LatchKeeper {
  let { schema: _schema, baseline_generation: generation, ...first } = initial;
  let latch: Latch = first;
  let [saved, queued] = [true, true];
  let lastReportMs = Number.NEGATIVE_INFINITY;
  let recorded = new Map<string, Violation>();
  const alone = createQueue();
  const now = (): string => new Date(clock.nowMs()).toISOString();

  async function save(): Promise<void> {
    saved = false;
    await file.save({ schema: 1, baseline_generation: generation, ...copyOf(latch) });
    saved = true;
  }

  async function attempt(what: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      log("error", `${what}; will be tried again`, errorFields(error));
      return false;
    }
  }

  /** One record when a violation begins or looks different, one when it ends. */
  async function recordChanges(all: readonly Violation[], before: Latch): Promise<void> {
    const current = new Map(all.map((one) => [violationKey(one), one]));
    const fresh = all.filter((one) => !isEqual(recorded.get(violationKey(one)), one));
    const gone = [...recorded].filter(([key]) => !current.has(key)).map(([, one]) => one);
    if (fresh.length + gone.length === 0 && before.state === latch.state) return;
    for (const one of fresh.slice(0, MAX_RECORDED)) await audit.append("violation", { ...one, action: actions[one.category] });
    for (const { category, path } of gone.slice(0, MAX_RECORDED)) await audit.append("violation_gone", { category, path });
    await audit.append("integrity", {
      state: latch.state,
      was: before.state,
      standing: all.length,
      fresh: fresh.length,
      gone: gone.length,
      violations_sha256: digestOf(all),
    });
    recorded = current;
  }

  async function report(all: readonly Violation[], scanCount: number): Promise<void> {
    const fingerprint = latch.unreported;
    if (fingerprint === null || clock.monotonicMs() - lastReportMs < REPORT_MS) return;
    const isCurrent = all.length > 0 && fingerprintOf(all) === fingerprint;
    // Of a set that is gone again the latch still knows what fell into it.
    const violations = isCurrent ? all : latch.reasons;
    await reporter.put(buildReport({ state: latch.state, violations, observedAt: now(), scanCount }, fingerprint));
    lastReportMs = clock.monotonicMs();
    latch = latchReported(latch, fingerprint);
    await save();
  }

  return {
    latch: () => latch,
    generation: () => generation,
    isSaved: () => saved && queued,
    settle: (standing, noticed, threshold, scanCount) =>
      alone(async () => {
        const before = latch;
        const all = sortViolations([...standing, ...noticed]);
        latch = latchAfter(latch, standing, noticed, threshold, now());
        // The latch first: whatever happens next, a restart finds it fallen.
        if (!saved || canonicalJson(copyOf(before)) !== canonicalJson(copyOf(latch)))
          await attempt("the latch cannot be saved", save);
        await attempt("violations cannot be recorded", () => recordChanges(all, before));
        queued = await attempt("violations cannot be reported", () => report(all, scanCount));
      }),
    release: (data, isClean) =>
      alone(async () => {
        if (!isClean()) return false;
        const { state, since, distinct } = latch;
        await audit.append("latch_released", { ...data, state, since, distinct });
        latch = openLatch;
        await save();
        return true;
      }),
    setGeneration: (next) =>
      alone(async () => {
        generation = next;
        await save();
      }),
  };
}

const copyOf = (latch: Latch) => ({ ...latch, reasons: latch.reasons.map((one) => ({ ...one })), seen: [...latch.seen] });

function isEqual(a: Violation | undefined, b: Violation): boolean {
  return a !== undefined && a.kind === b.kind && a.actual === b.actual && a.expected === b.expected;
}
