import { lstatSync } from "node:fs";
import type { AuditLog } from "@secai/kit/audit";
import { errorFields, type Log } from "@secai/kit/log";
import type { Outbox } from "@secai/kit/outbox";
import type { Report } from "@secai/kit/reporting";
import type { Clock } from "@secai/kit/sources";
import { orGone } from "@secai/verify/runtime-procfs";
import type { Baseline, LatchFile } from "./baseline.ts";
import { MonitorError } from "./errors.ts";
import { createHashCache } from "./hash-cache.ts";
import { createBuffers } from "./hash-file.ts";
import { createLatchKeeper } from "./latch-keeper.ts";
import { type Area, areas, type Look } from "./look.ts";
import { lookAtFiles } from "./look-files.ts";
import { createModuleLook, lookAtSettings } from "./look-kernel.ts";
import { createMetadataLook } from "./look-metadata.ts";
import { createModelLook } from "./look-models.ts";
import { createMounts } from "./look-mounts.ts";
import { lookAtFirewall, lookAtListeners, takeRuleset } from "./look-network.ts";
import { createUnitLook } from "./look-units.ts";
import { categoryOf, type MonitorPolicy } from "./policy.ts";
import { createQueue } from "./queue.ts";
import { startRehash } from "./rehash.ts";
import { sealedRootHash } from "./root.ts";
import { createScanner } from "./scanner.ts";
import type { SignedFile } from "./signed-file.ts";
import { type IntegrityState, judge, type Latch, openLatch, worse } from "./state.ts";
import { baselineDigest, type Occasion, takeBaseline } from "./take-baseline.ts";
import { mountTeller, rulesetTeller, startTeller } from "./teller.ts";
import { digestOf, type Violation, violationKey } from "./violation.ts";
import { createWatcher, noWatcher } from "./watch.ts";

/** What the kernel tells by no event (sockets, modules, mounts of other views) is asked this often, in ms. */
const POLL_MS = 1_000;
/** A look that takes long is followed by ten times as long without one: a slow machine has other work, too. */
const POLL_REST = 10;
const MAX_POLL_MS = 10_000;
/** The same loss of events is recorded again after this long, in ms. */
const LOSS_RECORD_MS = 600_000;
/** How long an operator's request waits for files that are still being read, in ms. */
const SETTLE_MS = 6_000;
/** Without a full look for this many intervals the service is as good as dead. */
const MAX_MISSED_SWEEPS = 4;
const MIN_PATIENCE_MS = 120_000;

export interface MonitorParts {
  readonly prefix: string;
  readonly policy: MonitorPolicy;
  loadPolicy(): Promise<MonitorPolicy>;
  readonly baselineFile: SignedFile<Baseline>;
  readonly latchFile: SignedFile<LatchFile>;
  readonly rulesetPath: string | undefined;
  /** False: no inotify, no tellers, no polling; the sweep alone. */
  readonly events: boolean;
  /** Instead of the policy's, for tests. */
  readonly sweepSeconds: number | undefined;
  readonly audit: Pick<AuditLog, "append">;
  readonly reporter: Pick<Outbox<Report>, "put">;
  readonly clock: Clock;
  readonly log: Log;
}

export interface MonitorStatus {
  readonly state: IntegrityState;
  /** What stands now, without the latch. */
  readonly standing: IntegrityState;
  /** Whether a full look has ended. */
  readonly scanned: boolean;
  readonly latch: Latch;
  readonly violations: readonly Violation[];
  readonly baseline: Baseline | undefined;
  readonly watchedFolders: number;
  readonly scanCount: number;
  readonly lastScanAt: string | null;
  readonly lastScanMs: number;
  readonly degradedCount: number;
  readonly recoveryCount: number;
  readonly waiting: number;
  readonly oldestHashSeconds: number;
  readonly saved: boolean;
}

export interface Monitor {
  status(): MonitorStatus;
  /** Looks at everything now. */
  scan(): Promise<void>;
  /** Accepts what stands, if its digest is this one. @throws MonitorError REBASELINE_REFUSED */
  rebaseline(acceptDigest: string, requestId: string): Promise<Baseline>;
  /** @throws MonitorError RELEASE_REFUSED, MONITOR_SCANNING */
  release(incidentId: string, binding: string, requestId: string): Promise<void>;
  /** Digest of the policy that is in force now. @throws what is wrong with the policy; MonitorError MONITOR_POLICY while its file is not the release's */
  reload(requestId: string): Promise<string>;
  alive(): boolean;
  stop(): Promise<void>;
}

/**
 * The saved state, which must fit together: one of the two files alone is half of what somebody took away.
 * @throws MonitorError BASELINE_*, LATCH_*
 */
export async function loadState({ baselineFile, latchFile }: Pick<MonitorParts, "baselineFile" | "latchFile">): Promise<{
  readonly baseline: Baseline | undefined;
  readonly latch: LatchFile;
}> {
  const baseline = await baselineFile.load();
  const latch = await latchFile.load();
  if (latch === undefined) {
    if (baseline !== undefined)
      throw new MonitorError("LATCH_MISSING", { expected: "a latch beside the baseline", actual: "none" });
    const fresh: LatchFile = { schema: 1, baseline_generation: 0, ...openLatch, reasons: [], seen: [] };
    await latchFile.save(fresh);
    return { baseline, latch: fresh };
  }
  const known = latch.baseline_generation;
  if (baseline === undefined && known > 0)
    throw new MonitorError("BASELINE_MISSING", { expected: `a baseline of generation ${known}`, actual: "none" });
  if (baseline !== undefined && baseline.generation < known)
    throw new MonitorError("BASELINE_REPLAYED", { expected: `generation ${known} or later`, actual: `${baseline.generation}` });
  return { baseline, latch };
}

/** @throws MonitorError BASELINE_*, LATCH_*, ROOT_UNSEALED */
export async function startMonitor(parts: MonitorParts): Promise<Monitor> {
  const { prefix, clock, log, audit } = parts;
  const rootHash = sealedRootHash(prefix);
  const loaded = await loadState(parts);
  let { baseline } = loaded;
  let { policy } = parts;
  const keeper = createLatchKeeper({ file: parts.latchFile, audit, reporter: parts.reporter, clock, log, initial: loaded.latch });
  const slow = createBuffers();
  const cache = createHashCache({ prefix, clock, quick: createBuffers(), slow });
  const models = createModelLook({ prefix, cache, clock, hasher: { buffers: slow } });
  const mounts = createMounts(prefix);
  const lookAtMetadata = createMetadataLook(prefix);
  const lookAtUnits = createUnitLook(prefix, cache, clock);
  const lookAtModules = createModuleLook(prefix);
  const alone = createQueue();
  let obstacles: readonly Violation[] = [];
  let [degradedCount, recoveryCount] = [0, 0];
  let lastScanAt: string | null = null;
  let lastMounts = "";
  const now = (): string => new Date(clock.nowMs()).toISOString();

  const isExtension = (path: string): boolean =>
    mounts.extensions().some((name) => orGone(() => lstatSync(`${prefix}/run/extensions/${name}${path}`)) !== undefined);

  async function sign(
    occasion: Occasion,
    before: Baseline | undefined,
    extra: Readonly<Record<string, string>> = {},
  ): Promise<boolean> {
    const context = {
      prefix,
      cache,
      policy,
      rootHash,
      now: now(),
      rulesetPath: parts.rulesetPath,
      isExtension,
      covers: mounts.covers,
    };
    const taken = await takeBaseline(context, occasion, before);
    if ("obstacles" in taken) {
      obstacles = taken.obstacles;
      return false;
    }
    obstacles = [];
    const next = taken.baseline;
    await audit.append("baseline_signed", {
      ...extra,
      occasion,
      generation: next.generation,
      root_hash: next.root_hash,
      was_root_hash: before?.root_hash ?? null,
      entries: next.release.length + next.machine.files.length,
      baseline_sha256: baselineDigest(next),
    });
    await parts.baselineFile.save(next);
    baseline = next;
    await keeper.setGeneration(next.generation);
    return true;
  }

  /** The baseline of this root and this policy; until the machine is clean enough to take one, what is in the way are violations. */
  async function currentBaseline(): Promise<Baseline | undefined> {
    if (baseline?.root_hash === rootHash && baseline.policy_digest === policy.digest) return baseline;
    const occasion = baseline === undefined ? "first" : baseline.root_hash === rootHash ? "policy" : "release";
    return (await sign(occasion, baseline)) ? baseline : undefined;
  }

  /** Mounts before anything else: whether a baseline may be taken, and what is an extension's, depends on them. */
  async function look(area: Area): Promise<Look> {
    if (area === "mounts") return lookAtMounts();
    const { listeners } = policy;
    if (area === "listeners") return lookAtListeners(prefix, listeners);
    if (area === "models") return models.look(policy.models);
    if (area === "modules") return lookAtModules();
    const held = await currentBaseline();
    if (held === undefined) return { violations: area === "files" ? obstacles : [], againMs: POLL_MS };
    return lookAgainst(held, area);
  }

  async function lookAgainst(
    { release, machine, system }: Baseline,
    area: Exclude<Area, "mounts" | "listeners" | "models" | "modules">,
  ): Promise<Look> {
    switch (area) {
      case "files":
        return lookAtFiles({ prefix, cache, targets: [...policy.sealed, ...policy.state], isExtension }, [
          ...release,
          ...machine.files,
        ]);
      case "metadata":
        return lookAtMetadata(policy.metadata, machine.metadata);
      case "units":
        return lookAtUnits(policy.units, system.unit_files);
      case "settings":
        return lookAtSettings(prefix, system.settings);
      case "firewall":
        return lookAtFirewall(system.ruleset, await takeRuleset(prefix));
    }
  }

  function lookAtMounts(): Look {
    const result = mounts.look(policy.mounts);
    const seen = [...result.violations.map(violationKey), ...mounts.extensions()].join("\n");
    // What is mounted decides what everybody sees.
    if (seen !== lastMounts) scanner.mark(["files", "units", "models", "metadata"]);
    lastMounts = seen;
    return result;
  }

  const scanner = createScanner({
    clock,
    look,
    async settle(standing, noticed) {
      lastScanAt = now();
      const before = keeper.latch().state;
      await keeper.settle(standing, noticed, policy.degradation_threshold, scanner.scanCount());
      const after = keeper.latch().state;
      if (after === before) return;
      log("warning", "state changed", { from: before, to: after, violations: standing.length });
      if (after === "degraded") degradedCount += 1;
      else recoveryCount += 1;
    },
    follow: (folders) => watcher.follow(folders),
    onError: (area, error) => log("error", "a look failed", { area, ...errorFields(error) }),
  });

  let lastLoss = { reason: "", atMs: Number.NEGATIVE_INFINITY };
  function onLoss(reason: string): void {
    sweep();
    // What goes on failing is said now and then, not each time: nobody shall fill the log with it.
    const atMs = clock.monotonicMs();
    if (lastLoss.reason === reason && atMs - lastLoss.atMs < LOSS_RECORD_MS) return;
    lastLoss = { reason, atMs };
    log("warning", "events may have been lost; everything is looked at", { reason });
    audit
      .append("events_lost", { reason: reason.slice(0, 512) })
      .catch((error: unknown) => log("error", "not recorded", errorFields(error)));
  }

  const watcher = parts.events
    ? createWatcher({ prefix, log, onEvent: (folder) => scanner.mark(scanner.areasOf(folder)), onLoss })
    : noWatcher;
  const tellers = parts.events
    ? [
        startTeller({ ...rulesetTeller(prefix), onEvent: () => scanner.mark(["firewall"]), onLoss }),
        startTeller({ ...mountTeller(prefix), onEvent: () => scanner.mark(["mounts"]), onLoss }),
      ]
    : [];
  const rehash = startRehash({
    cache,
    models,
    policy: () => policy.rehash,
    onNews: () => scanner.mark(["files", "models", "units"]),
    onError: (error) => log("error", "a file could not be read again", errorFields(error)),
  });

  function sweep(): void {
    cache.queueOlderThan(policy.rehash.interval_minutes * 30_000);
    scanner.mark(areas);
  }

  const intervalMs = (): number => (parts.sweepSeconds ?? policy.scan_interval) * 1000;
  const started = clock.monotonicMs();
  let sweepTimer = setTimeout(onSweepTime, intervalMs());
  function onSweepTime(): void {
    sweep();
    sweepTimer = setTimeout(onSweepTime, intervalMs());
  }
  let pollTimer = setTimeout(onPollTime, POLL_MS);
  function onPollTime(): void {
    pollTimer = setTimeout(onPollTime, Math.min(MAX_POLL_MS, Math.max(POLL_MS, POLL_REST * scanner.lastDurationMs())));
    if (!parts.events) return;
    const events = watcher.takeCount();
    if (events > watcher.lossLimit) onLoss(`${events} events at once`);
    scanner.mark(["mounts", "modules", "listeners"]);
  }

  scanner.mark(areas);

  async function scan(): Promise<void> {
    await scanner.full();
    if (cache.waiting("changed") + models.waiting() === 0) return;
    await rehash.settled(SETTLE_MS);
    await scanner.full();
  }

  const isOfMachine = (one: Violation): boolean => {
    if (scanner.standingIn("metadata").includes(one)) return true;
    if (scanner.standingIn("units").includes(one))
      return policy.units.generated.some((folder) => one.path.startsWith(`${folder}/`));
    const own = categoryOf(one.path, policy.state);
    return scanner.standingIn("files").includes(one) && own !== undefined && categoryOf(one.path, policy.sealed) === undefined;
  };

  async function rebaseline(acceptDigest: string, requestId: string): Promise<Baseline> {
    await scan();
    const seen = digestOf(scanner.standing());
    if (seen !== acceptDigest)
      throw new MonitorError("REBASELINE_REFUSED", { expected: `violations ${acceptDigest}`, actual: seen });
    const [first] = scanner.standing().filter((one) => !isOfMachine(one));
    if (first !== undefined || baseline === undefined) {
      const actual = first?.path ?? "no baseline";
      throw new MonitorError("REBASELINE_REFUSED", { expected: "everything of the release as it was", actual });
    }
    if (!(await sign("rebaseline", baseline, { request_id: requestId })))
      throw new MonitorError("REBASELINE_REFUSED", { expected: "a clean machine", actual: obstacles[0]?.path ?? "-" });
    await scanner.full();
    return baseline;
  }

  async function release(data: {
    readonly incident_id: string;
    readonly binding: string;
    readonly request_id: string;
  }): Promise<void> {
    await scan();
    const unread = cache.waiting("changed") + models.waiting();
    if (unread > 0) throw new MonitorError("MONITOR_SCANNING", { expected: "every file read", actual: `${unread} to read` });
    const isClean = (): boolean => baseline !== undefined && scanner.standing().length === 0;
    if (await keeper.release(data, isClean)) return;
    const [first] = scanner.standing();
    const actual = first === undefined ? "no baseline" : `${first.category} ${first.path}`;
    throw new MonitorError("RELEASE_REFUSED", { expected: "nothing wrong", actual });
  }

  async function reload(requestId: string): Promise<string> {
    const next = await parts.loadPolicy();
    await scan();
    const changed = scanner.standingIn("files").find(({ category }) => category === "policy_file");
    if (changed !== undefined)
      throw new MonitorError("MONITOR_POLICY", { expected: "the release's policy", actual: changed.path });
    await audit.append("policy_loaded", { request_id: requestId, from: policy.digest, to: next.digest });
    policy = next;
    await scanner.full();
    return next.digest;
  }

  return {
    status() {
      const standing = judge(scanner.standing(), policy.degradation_threshold);
      return {
        state: worse(keeper.latch().state, standing),
        standing,
        scanned: scanner.lastFullMs() !== undefined && baseline !== undefined,
        latch: keeper.latch(),
        violations: scanner.standing(),
        baseline,
        watchedFolders: watcher.watched(),
        scanCount: scanner.scanCount(),
        lastScanAt,
        lastScanMs: scanner.lastDurationMs(),
        degradedCount,
        recoveryCount,
        waiting: cache.waiting() + models.waiting(),
        oldestHashSeconds: cache.oldestMs() / 1000,
        saved: keeper.isSaved(),
      };
    },
    scan,
    rebaseline: (acceptDigest, requestId) => alone(() => rebaseline(acceptDigest, requestId)),
    release: (incidentId, binding, requestId) =>
      alone(() => release({ incident_id: incidentId, binding, request_id: requestId })),
    reload: (requestId) => alone(() => reload(requestId)),
    alive() {
      const patience = Math.max(MIN_PATIENCE_MS, intervalMs() * MAX_MISSED_SWEEPS);
      return clock.monotonicMs() - (scanner.lastFullMs() ?? started) < patience;
    },
    async stop() {
      clearTimeout(sweepTimer);
      clearTimeout(pollTimer);
      for (const teller of tellers) teller.close();
      await Promise.all([scanner.stop(), rehash.stop()]);
      watcher.close();
    },
  };
}
