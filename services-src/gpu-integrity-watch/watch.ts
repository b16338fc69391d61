import type { GpuVerdict } from "@secai/kit/api/gpu-integrity";
import type { AuditLog } from "@secai/kit/audit";
import type { Outbox } from "@secai/kit/outbox";
import type { Report } from "@secai/kit/reporting";
import type { Clock } from "@secai/kit/sources";
import { type ActionResult, act } from "./actions.ts";
import { type Baseline, contentDigest } from "./baseline.ts";
import type { BaselineStore } from "./baseline-store.ts";
import { GpuWatchError, type GpuWatchErrorCode } from "./errors.ts";
import { incidentReports } from "./incidents.ts";
import { gpuDevices, type Machine } from "./machine.ts";
import { observe } from "./observe.ts";
import { finding, type ProbeResult } from "./outcome.ts";
import { type ProbeSight, runProbe, weightOf } from "./probes.ts";
import type { LoadedProfile } from "./profile.ts";
import { compositeScore, dueActions, trendOf, verdictOf } from "./score.ts";
import type { TensorReader } from "./tensors.ts";
import { createTurns } from "./turns.ts";

/** Everything one look found. */
export interface Cycle {
  /** RFC 3339, UTC, milliseconds. */
  readonly timestamp: string;
  readonly verdict: GpuVerdict;
  readonly score: number;
  readonly results: readonly ProbeResult[];
  readonly actions: readonly ActionResult[];
  readonly devices: readonly { readonly name: string; readonly driver: string | null; readonly driverVersion: string | null }[];
  readonly nodes: readonly string[];
}

export type BaselineState =
  | { readonly is: "none" }
  | { readonly is: "held"; readonly baseline: Baseline }
  | { readonly is: "refused"; readonly code: GpuWatchErrorCode };

export interface CaptureOrder {
  readonly dry_run?: boolean;
  readonly replace?: boolean;
  /** Digest of the content that the caller looked at. */
  readonly accept_digest?: string;
}

export interface Capture {
  readonly contentDigest: string;
  readonly files: number;
  readonly sentinels: number | null;
  readonly drivers: number;
  readonly devices: number;
  /** Absent in a dry run. */
  readonly baseline?: Baseline;
}

export interface Watch {
  /**
   * Runs every probe; a check that is under way is waited for instead. Answers when its record is on the disk.
   * @throws KitError AUDIT_UNAVAILABLE; whatever `signal` was aborted with
   */
  check(reason: "timer" | "request", signal: AbortSignal): Promise<Cycle>;
  /** @throws GpuWatchError GPU_BASELINE_EXISTS, GPU_BASELINE_UNSAFE, GPU_BASELINE_OTHER, GPU_BASELINE_INCOMPLETE, GPU_MODELS_UNREADABLE */
  capture(order: CaptureOrder, signal: AbortSignal): Promise<Capture>;
  replaceProfile(profile: LoadedProfile): void;
  profile(): LoadedProfile;
  baseline(): BaselineState;
  latest(): Cycle | undefined;
  history(): readonly Cycle[];
  trend(): number;
  cycles(): number;
}

export interface WatchParts {
  readonly profile: LoadedProfile;
  readonly machine: Machine;
  readonly tensors: TensorReader;
  readonly store: BaselineStore;
  readonly reporter: Pick<Outbox<Report>, "put">;
  readonly audit: Pick<AuditLog, "append">;
  readonly clock: Clock;
}

export function createWatch(parts: WatchParts): Watch {
  const { store, audit, clock, machine } = parts;
  const turns = createTurns<Cycle>();
  let profile = parts.profile;
  let baseline: BaselineState = { is: "none" };
  let history: readonly Cycle[] = [];
  let cycles = 0;

  async function run(reason: "timer" | "request" | "capture", signal: AbortSignal): Promise<Cycle> {
    baseline = await loadState(store);
    const looked = await lookAtAll(parts, profile, baseline, signal);
    const due = dueActions(looked.verdict, profile.actions);
    // Reports are on the disk before the record of them is: a full audit log must not keep an alarm back.
    const actions = await act(due, incidentReports(looked), parts.reporter);
    const { results, activeModel: _model, modelDir: _folder, ...seen } = looked;
    const cycle: Cycle = { ...seen, results, actions };
    history = [...history, cycle].slice(-profile.max_history);
    cycles += 1;
    await audit.append("cycle", cycleRecord(reason, cycle, baseline));
    return cycle;
  }

  async function take(order: CaptureOrder, signal: AbortSignal): Promise<Capture> {
    const content = await observe({ machine, tensors: parts.tensors, profile, signal }, Number.MAX_SAFE_INTEGER);
    const digest = contentDigest(content);
    const counts = {
      contentDigest: digest,
      files: Object.keys(content.tensor_hashes ?? {}).length,
      sentinels: content.sentinel_refs?.length ?? null,
      drivers: content.drivers.length,
      devices: content.devices.length,
    };
    if (order.dry_run === true) return counts;
    // Judged now: whoever restarts the service does not get rid of a warning.
    const { verdict } = await run("capture", signal);
    const state = baseline;
    requireAcceptable(order, state, verdict, digest);
    signal.throwIfAborted();
    await audit.append("baseline_capture", {
      content_digest: digest,
      accepted: order.accept_digest ?? null,
      before: stateRecord(state),
    });
    const saved = await store.save(content, new Date(clock.nowMs()).toISOString());
    baseline = { is: "held", baseline: saved };
    return { ...counts, baseline: saved };
  }

  return {
    check: (reason, signal) => turns.join(() => run(reason, signal), signal),
    capture: (order, signal) => turns.alone(() => take(order, signal), signal),
    replaceProfile(next) {
      profile = next;
      history = history.slice(-next.max_history);
    },
    profile: () => profile,
    baseline: () => baseline,
    latest: () => history.at(-1),
    history: () => history,
    trend: () => trendOf(history.map(({ score }) => score)),
    cycles: () => cycles,
  };
}

async function loadState(store: BaselineStore): Promise<BaselineState> {
  try {
    const baseline = await store.load();
    return baseline === undefined ? { is: "none" } : { is: "held", baseline };
  } catch (error) {
    if (error instanceof GpuWatchError) return { is: "refused", code: error.code };
    throw error;
  }
}

async function lookAtAll(
  { machine, tensors, clock }: WatchParts,
  profile: LoadedProfile,
  baseline: BaselineState,
  signal: AbortSignal,
) {
  const timestamp = new Date(clock.nowMs()).toISOString();
  const devices = gpuDevices(machine);
  let activeModel: string | undefined;
  const sight: ProbeSight = {
    machine,
    tensors,
    profile,
    signal,
    devices,
    baseline: baseline.is === "held" ? baseline.baseline.content : undefined,
    sawModel(model) {
      activeModel = model;
    },
  };
  const results: ProbeResult[] = baseline.is === "refused" ? [refusedBaseline(baseline.code, timestamp)] : [];
  for (const entry of profile.probes.filter(({ enabled }) => enabled)) {
    signal.throwIfAborted();
    const [start, begun] = [clock.monotonicMs(), new Date(clock.nowMs()).toISOString()];
    const outcome = await runProbe(entry, sight);
    const duration = Math.max(0, Math.round(clock.monotonicMs() - start));
    results.push({
      ...outcome,
      name: entry.name,
      type: entry.type,
      weight: weightOf(entry),
      timestamp: begun,
      duration_ms: duration,
    });
  }
  return {
    timestamp,
    results,
    activeModel,
    modelDir: profile.model_dir,
    verdict: verdictOf(results, devices.length > 0),
    score: compositeScore(results),
    devices: devices.map(({ name, driver, driver_version }) => ({ name, driver, driverVersion: driver_version })),
    nodes: [...new Set(devices.flatMap(({ nodes }) => nodes))],
  };
}

/** A baseline that cannot be believed is a finding of its own: the probes that need it have nothing to compare with. */
function refusedBaseline(code: GpuWatchErrorCode, timestamp: string): ProbeResult {
  const findings = [finding("critical", `the baseline was refused: ${code}`, code)];
  return { name: "baseline", type: "baseline", status: "fail", score: 1, weight: 1, findings, timestamp, duration_ms: 0 };
}

/**
 * The first capture needs nothing while all is well. What replaces a baseline must be asked for; what is captured while the watch warns, or
 * while the old baseline cannot be believed, must be named by its digest.
 */
function requireAcceptable(order: CaptureOrder, state: BaselineState, verdict: GpuVerdict, digest: string): void {
  if (state.is !== "none" && order.replace !== true)
    throw new GpuWatchError("GPU_BASELINE_EXISTS", { expected: "replace: true", actual: "a baseline that holds" });
  const isWarning = verdict === "warning" || verdict === "critical" || state.is === "refused";
  if (isWarning && order.accept_digest === undefined)
    throw new GpuWatchError("GPU_BASELINE_UNSAFE", { expected: `accept_digest of ${digest}`, actual: "none" });
  if (order.accept_digest !== undefined && order.accept_digest !== digest)
    throw new GpuWatchError("GPU_BASELINE_OTHER", { expected: order.accept_digest, actual: digest });
}

const stateRecord = (state: BaselineState): string =>
  state.is === "held" ? state.baseline.digest : state.is === "refused" ? state.code : "none";

function cycleRecord(reason: string, { verdict, score, results, actions }: Cycle, baseline: BaselineState) {
  return {
    reason,
    verdict,
    score,
    probes: Object.fromEntries(results.map(({ name, status }) => [name, status])),
    actions: actions.map(({ name, type, outcome }) => ({ name, type, outcome })),
    baseline: stateRecord(baseline),
  };
}
