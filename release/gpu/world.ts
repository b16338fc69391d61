import type { Backend, GpuBackends } from "@secai/formats/gpu-backends";
import type { Probe } from "@secai/formats/gpu-probe";
import type { PciDevice } from "@secai/formats/gpu-state";

/** A GPU of this machine and the backends that it could be used with, the best first. */
export interface UsableDevice extends Omit<PciDevice, "backend" | "driver" | "driver_version"> {
  readonly driver: string;
  readonly driver_version: string;
  readonly backends: readonly Backend[];
}

export interface ProbeOrder {
  readonly backend: Backend;
  readonly trees: readonly string[];
  readonly model: string;
  readonly tokens: number;
}

/** What qualifying needs of the machine that it runs on, and of the programs of the appliance. */
export interface GpuWorld {
  readonly devices: () => readonly UsableDevice[];
  /** A node_modules folder with the packages that runtimes come from. */
  readonly modules: string;
  /** The declaration of backends in the first tree that has one, and its bytes. */
  readonly declared: (
    trees: readonly string[],
  ) => Promise<{ readonly backends: GpuBackends; readonly bytes: Buffer } | undefined>;
  /** Where a path of the running system lies in the trees. */
  readonly locate: (trees: readonly string[], path: string) => string | undefined;
  /** Runs the model in a process of its own. */
  readonly probe: (order: ProbeOrder) => Promise<Probe>;
  /** The built-in model, a GGUF file. */
  readonly model: () => Buffer;
  readonly kernel: string;
  readonly now: () => Date;
}
