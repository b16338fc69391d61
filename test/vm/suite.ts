import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Bench, createBench, removeBench } from "./bench.ts";
import { RawDisk, unlinkDisk } from "./disk.ts";
import { outcomeOf, VmError } from "./errors.ts";
import { Machine, type MachineParts } from "./machine.ts";
import { killAll, onTermination } from "./processes.ts";
import { DEFAULT_SHAPE, type MachineShape } from "./qemu.ts";
import type { Release } from "./release.ts";
import { buildReport, type ScenarioResult, type SuiteReport } from "./report.ts";
import { World } from "./world.ts";

/**
 * What a scenario starts from, cheapest first: nothing but files, a container, a machine it may only look at, a fork of a running
 * machine that is its own, or a boot (and perhaps a changed disk) of its own.
 */
export type Needs = "host" | "container" | "shared" | "fork" | "boot";

export interface Scenario {
  /** Stable; results are compared between releases by it. */
  readonly id: string;
  readonly title: string;
  readonly needs: Needs;
  /** Part of the quick subset. */
  readonly smoke?: true;
  /** Takes minutes by itself; not in the short run. */
  readonly long?: true;
  readonly run: (test: Test) => Promise<void>;
}

/** What a running scenario can use. Machines and disks it makes are ended and deleted after it. */
export class Test {
  readonly scenario: Scenario;
  readonly world: World;
  readonly release: Release;
  /** Directory that may hold the private keys of the release's maker; scenarios that need one say so when it is not there. */
  readonly keyring: string;
  readonly measures: Record<string, number> = {};
  readonly machines: Machine[] = [];
  readonly #disks: RawDisk[] = [];

  constructor(scenario: Scenario, world: World, release: Release, keyring: string) {
    this.scenario = scenario;
    this.world = world;
    this.release = release;
    this.keyring = keyring;
  }

  get bench(): Bench {
    return this.world.bench;
  }

  /** A machine for looking only; it is every scenario's. */
  shared(): Promise<Machine> {
    return this.world.shared();
  }

  /** A machine of its own that has just come up. */
  async fork(): Promise<Machine> {
    return this.#own(await this.world.fork(this.scenario.id));
  }

  /** The same after a restart. */
  async forkSecond(): Promise<Machine> {
    return this.#own(await this.world.forkSecond(this.scenario.id));
  }

  /** A copy of a disk that the scenario may change before it boots from it: with the test addon unless asked otherwise; "used" has been booted once. */
  async disk(kind: "test" | "release" | "used" = "test"): Promise<RawDisk> {
    const source =
      kind === "test" ? this.bench.testDisk : kind === "release" ? this.bench.releaseDisk : (await this.world.off()).disk;
    const disk = await source.copy(join(this.bench.dir, `${this.world.uniqueName(this.scenario.id)}.raw`));
    this.#disks.push(disk);
    return disk;
  }

  /** A new machine (its own TPM and firmware variables) with this disk; it is off. */
  async machine(
    disk: RawDisk | MachineParts["backing"],
    shape: Partial<MachineShape> = {},
    parts: Partial<MachineParts> = {},
  ): Promise<Machine> {
    const backing = disk instanceof RawDisk ? ({ path: disk.path, format: "raw" } as const) : disk;
    const name = this.world.uniqueName(this.scenario.id);
    return this.#own(await Machine.create(this.bench, name, { backing, shape: { ...DEFAULT_SHAPE, ...shape }, ...parts }));
  }

  /** Records a figure in the report. */
  measure(name: string, value: number): void {
    this.measures[name] = Math.round(value);
  }

  /** @throws VmError CAPABILITY_MISSING */
  missing(what: string): never {
    throw new VmError("CAPABILITY_MISSING", { expected: what, actual: "not there" });
  }

  async cleanUp(logsDir: string | undefined): Promise<void> {
    for (const machine of this.machines) await machine.discard(logsDir);
    for (const disk of this.#disks) await unlinkDisk(disk);
  }

  #own(machine: Machine): Machine {
    this.machines.push(machine);
    return machine;
  }
}

export interface SuiteOptions {
  readonly name: string;
  readonly scenarios: readonly Scenario[];
  readonly release: Release;
  readonly toolRoot: string;
  /** See `Test.keyring`. */
  readonly keyring: string;
  /** Keeps the run directory, and the logs of scenarios that passed. */
  readonly keep: boolean;
  readonly onResult: (result: ScenarioResult) => void;
  readonly onBench: (bench: Bench) => void;
}

/** Runs scenarios one after the other. Only a bench that cannot be made at all is thrown. @throws VmError */
export async function runSuite(options: SuiteOptions): Promise<SuiteReport> {
  const startedOn = new Date().toISOString();
  const started = performance.now();
  const { release, toolRoot, keyring } = options;
  const bench = await createBench({ releaseDir: release.dir, toolRoot, ownerGuid: release.measurements().secureBoot.ownerGuid });
  const removeHandlers = onTermination(() => options.keep || rmSync(bench.dir, { recursive: true, force: true }));
  options.onBench(bench);
  const world = new World(bench);
  const scenarios: ScenarioResult[] = [];
  try {
    for (const scenario of options.scenarios) {
      const result = await runScenario(
        new Test(scenario, world, release, keyring),
        join(bench.dir, "logs", scenario.id),
        options.keep,
      );
      scenarios.push(result);
      options.onResult(result);
    }
  } finally {
    killAll();
    removeHandlers();
  }
  const failed = scenarios.some(({ outcome }) => outcome === "failed" || outcome === "fault");
  if (!options.keep) await removeBench(bench, failed);
  const durationMs = Math.round(performance.now() - started);
  const { accelerator } = bench;
  return buildReport({ suite: options.name, startedOn, durationMs, accelerator, imageDigest: release.imageDigest, scenarios });
}

async function runScenario(test: Test, logsDir: string, keep: boolean): Promise<ScenarioResult> {
  const { id, title } = test.scenario;
  const started = performance.now();
  const result = (rest: Pick<ScenarioResult, "outcome" | "code" | "message">): ScenarioResult => ({
    ...{ id, title, durationMs: Math.round(performance.now() - started), measures: test.measures },
    ...rest,
  });
  try {
    await test.scenario.run(test);
    await test.cleanUp(keep ? logsDir : undefined);
    return result({ outcome: "passed" });
  } catch (error) {
    await test.cleanUp(logsDir);
    const message = error instanceof Error ? error.message : String(error);
    const code = (error as { code?: unknown }).code;
    const outcome = outcomeOf(error);
    return result({ outcome, message, ...(typeof code === "string" ? { code } : {}) });
  }
}
