import { join } from "node:path";
import type { Bench } from "./bench.ts";
import { RawDisk } from "./disk.ts";
import { VmError } from "./errors.ts";
import { type Frozen, fork, freeze } from "./fork.ts";
import { Machine } from "./machine.ts";
import { DEFAULT_SHAPE } from "./qemu.ts";

/** A frozen machine and what its boot showed. */
export interface Stage {
  readonly frozen: Frozen;
  /** Everything on the serial console up to the freeze. */
  readonly console: string;
  /** Milliseconds from power on to the agent's greeting, and to "running". */
  readonly agentMs: number;
  readonly runningMs: number;
}

/** A machine that has been switched off: every part of it can be put into another. */
export interface PoweredOff {
  readonly disk: RawDisk;
  readonly tpmState: string;
  readonly variables: string;
}

/** Where the second stage leaves marks before it restarts. */
export const REBOOT_MARK = "/var/lib/secure-ai/test-reboot-mark";
const BEFORE_REBOOT = "/var/lib/secure-ai/test-before-reboot";

/** The machines that scenarios start from. Each is made once, by the first scenario that needs it. */
export class World {
  readonly bench: Bench;
  #first: Promise<Stage> | undefined;
  #second: Promise<Stage> | undefined;
  #off: Promise<PoweredOff> | undefined;
  #shared: Promise<Machine> | undefined;
  #counter = 0;

  constructor(bench: Bench) {
    this.bench = bench;
  }

  /**
   * A first boot of the release, completely up. Who asks first hears why it failed; for everybody else it is just not there.
   * @throws VmError CHECK_FAILED, CAPABILITY_MISSING
   */
  first(): Promise<Stage> {
    if (this.#first !== undefined) return this.#first.catch(() => notThere("the first boot, which failed"));
    this.#first = this.#bootFirst();
    return this.#first;
  }

  /** The same machine after an orderly restart. */
  second(): Promise<Stage> {
    if (this.#second !== undefined) return this.#second.catch(() => notThere("the restart, which failed"));
    this.#second = this.#bootSecond();
    return this.#second;
  }

  /** One fork of the first boot for all scenarios that only look. */
  shared(): Promise<Machine> {
    if (this.#shared !== undefined) return this.#shared.catch(() => notThere("the first boot, which failed"));
    this.#shared = this.fork("shared");
    return this.#shared;
  }

  /** The machine of the first boot after an orderly power off, as files. */
  off(): Promise<PoweredOff> {
    this.#off ??= this.#powerOff();
    return this.#off;
  }

  async fork(name: string): Promise<Machine> {
    const { frozen } = await this.first();
    return await fork(this.bench, frozen, this.uniqueName(name));
  }

  async forkSecond(name: string): Promise<Machine> {
    const { frozen } = await this.second();
    return await fork(this.bench, frozen, this.uniqueName(name));
  }

  uniqueName(name: string): string {
    this.#counter += 1;
    return `${name.replaceAll(/[^a-z0-9-]/g, "-").slice(0, 24)}-${this.#counter}`;
  }

  async #powerOff(): Promise<PoweredOff> {
    const machine = await this.fork("off");
    await machine.shutdown();
    const path = join(this.bench.dir, "off.raw");
    await this.bench.tools.run(["qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", join(machine.dir, "disk.qcow2"), path]);
    return {
      disk: await RawDisk.open(this.bench.tools, path),
      tpmState: join(machine.dir, "tpm"),
      variables: join(machine.dir, "vars.fd"),
    };
  }

  async #bootFirst(): Promise<Stage> {
    const backing = { path: this.bench.testDisk.path, format: "raw" } as const;
    const machine = await Machine.create(this.bench, this.uniqueName("first"), { backing, shape: DEFAULT_SHAPE });
    return await this.#settle(machine, () => machine.boot());
  }

  async #bootSecond(): Promise<Stage> {
    const machine = await this.fork("second");
    return await this.#settle(machine, async () => {
      await machine.succeeds(
        `set -e; mkdir -p /var/lib/secure-ai; echo kept > ${REBOOT_MARK}; { cat /etc/machine-id; cat /proc/sys/kernel/random/boot_id; } > ${BEFORE_REBOOT}; sync`,
      );
      const started = performance.now();
      await machine.reboot();
      return Math.round(performance.now() - started);
    });
  }

  /** Boots, waits until everything is up, freezes; a machine that does not come up leaves its console in the error. */
  async #settle(machine: Machine, boot: () => Promise<number>): Promise<Stage> {
    const started = performance.now();
    try {
      const agentMs = await boot();
      await machine.waitForRunning();
      const runningMs = Math.round(performance.now() - started);
      const console = machine.serial.text();
      return { frozen: await freeze(this.bench, machine), console, agentMs, runningMs };
    } catch (error) {
      await machine.powerCut();
      const actual = error instanceof Error ? error.message : String(error);
      throw new VmError("CHECK_FAILED", {
        expected: "a machine that comes up",
        actual: `${actual}\n${machine.serial.tail(15)}`,
        cause: error,
      });
    }
  }
}

function notThere(what: string): never {
  throw new VmError("CAPABILITY_MISSING", { expected: what, actual: "nothing" });
}

/** Machine id and boot id of a second-stage machine before its restart. */
export async function beforeReboot(machine: Machine): Promise<{ machineId: string; bootId: string }> {
  const [machineId = "", bootId = ""] = (await machine.succeeds(`cat ${BEFORE_REBOOT}`)).split("\n");
  return { machineId, bootId };
}
