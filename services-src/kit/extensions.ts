import { type Extension, isHardwareFor } from "@secai/formats/extensions";
import { ExtensionRefusal, type ExtensionRefusalCode } from "./extension-errors.ts";

// Which system extensions a machine merges. What it knows of them stands in the sealed root; what it finds on the disk is checked against that.

/** A device of the PCI bus: six and four lower-case hex digits. */
export interface PciDevice {
  readonly pciClass: string;
  readonly vendor: string;
}

/** "hardware": each whose hardware is there; else everything, nothing, or these. */
export type Choice = "hardware" | "all" | readonly string[];

const ARGUMENT = "secai.extensions=";

/** The last `secai.extensions=all|none|NAME,NAME` of a kernel command line; without one hardware decides. */
export function parseChoice(commandLine: string): Choice {
  const word = commandLine
    .trim()
    .split(/\s+/)
    .findLast((one) => one.startsWith(ARGUMENT));
  if (word === undefined) return "hardware";
  const value = word.slice(ARGUMENT.length);
  if (value === "all") return "all";
  return value === "none" ? [] : [...new Set(value.split(",").filter((name) => name !== ""))];
}

export interface Refused {
  readonly name: string;
  readonly reason: ExtensionRefusalCode;
}

export interface Selection {
  readonly wanted: readonly Extension[];
  readonly refused: readonly Refused[];
}

export function select(extensions: readonly Extension[], choice: Choice, devices: readonly PciDevice[]): Selection {
  if (choice === "all") return { wanted: extensions, refused: [] };
  if (choice === "hardware") {
    const fits = ({ hardware }: Extension) => devices.some(({ pciClass, vendor }) => isHardwareFor(hardware, pciClass, vendor));
    return { wanted: extensions.filter(fits), refused: [] };
  }
  const known = new Set(extensions.map(({ name }) => name));
  return {
    wanted: extensions.filter(({ name }) => choice.includes(name)),
    refused: choice
      .filter((name) => !known.has(name))
      // A name from the command line goes into a state file and a log: no further than a name can.
      .map((name) => ({ name: name.replaceAll(/[^a-z0-9-]/g, "?").slice(0, 32), reason: "EXTENSION_UNKNOWN" })),
  };
}

/** A partition as the kernel knows it. */
export interface BlockPartition {
  /** Kernel name, e.g. "vda5". */
  readonly device: string;
  /** Kernel name of the disk it lies on. */
  readonly disk: string;
  readonly label: string;
  readonly bytes: number;
}

/**
 * The partition of an extension: on the root's own disk, for one of the same name on another is never ours.
 * @throws ExtensionRefusal EXTENSION_PARTITION
 */
export function partitionFor(
  { partition, hashOffset }: Extension,
  partitions: readonly BlockPartition[],
  disk: string,
): BlockPartition {
  const found = partitions.filter((one) => one.label === partition && one.disk === disk);
  const [only] = found;
  if (only === undefined || found.length > 1)
    throw new ExtensionRefusal("EXTENSION_PARTITION", { expected: `one ${partition} on ${disk}`, actual: `${found.length}` });
  if (only.bytes <= hashOffset)
    throw new ExtensionRefusal("EXTENSION_PARTITION", {
      expected: `${partition} with more than ${hashOffset} bytes`,
      actual: `${only.bytes}`,
    });
  return only;
}
