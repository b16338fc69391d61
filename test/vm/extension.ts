import { EXTENSION_PARTITION_TYPE, type Extension, parseExtensions } from "../../attest/formats/extensions.ts";
import type { RawDisk } from "./disk.ts";
import { VmError } from "./errors.ts";
import { type Partition, partitionOf } from "./gpt.ts";
import type { Machine } from "./machine.ts";

/** The extension that every recipe with a screen or a GPU has: Vulkan's drivers. */
export const VULKAN = "vulkan";
export const VULKAN_LIBRARY = "/usr/lib/x86_64-linux-gnu/libvulkan.so.1";

/** /run/secure-ai/extensions.json */
export interface ExtensionState {
  readonly merged: readonly string[];
  readonly refused: readonly { readonly name: string; readonly reason: string }[];
}

export async function extensionState(machine: Machine): Promise<ExtensionState> {
  return JSON.parse(await machine.succeeds("cat /run/secure-ai/extensions.json")) as ExtensionState;
}

/** What the machine's sealed root says of its extensions. */
export async function declaredExtensions(machine: Machine): Promise<readonly Extension[]> {
  return parseExtensions(await machine.pullFile("/usr/lib/secure-ai/extensions.json")).extensions;
}

/** One of them. @throws VmError HARNESS_PROTOCOL when the release has none of that name */
export async function declaredExtension(machine: Machine, name: string): Promise<Extension> {
  const extensions = await declaredExtensions(machine);
  const found = extensions.find((extension) => extension.name === name);
  if (found === undefined)
    throw new VmError("HARNESS_PROTOCOL", { expected: `extension ${name}`, actual: extensions.map((one) => one.name).join(" ") });
  return found;
}

/** The partition of an extension in slot A. */
export function extensionPartition(disk: RawDisk, name: string): Partition {
  return partitionOf(
    disk.partitions,
    ({ typeGuid, label }) => typeGuid === EXTENSION_PARTITION_TYPE && label.startsWith(`ext_${name}_`),
    `extension ${name}`,
  );
}
