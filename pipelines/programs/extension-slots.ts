import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCanonicalJson } from "@secai/formats/canonical-json";
import { type Extension, type Extensions, extensionsBytes, MAX_EXTENSIONS_BYTES } from "@secai/formats/extensions";
import { listOf } from "./tool.ts";

export interface Slot {
  /** Two digits: partitions stand on the disk in the recipe's order, which file names of systemd-repart keep. */
  readonly order: string;
  readonly name: string;
  readonly sizeMiB: number;
  readonly description: Extension;
}

/**
 * The system extensions of a recipe with what their steps said of them.
 * @param text "vulkan=192,cuda=900"
 * @param folder holds NAME.description of each
 * @throws FormatError for a description that no reader accepts
 */
export function extensionSlots(text: string, folder: string): readonly Slot[] {
  const slots = listOf(text).map((pair, index): Slot => {
    const [name = "", size = ""] = pair.split("=");
    const bytes = readFileSync(join(folder, `${name}.description`));
    const description = parseCanonicalJson(bytes, MAX_EXTENSIONS_BYTES) as unknown as Extension;
    return { order: String(index).padStart(2, "0"), name, sizeMiB: Number(size), description };
  });
  extensionsBytes(declared(slots));
  return slots;
}

/** What the sealed root says of them. */
export const declared = (slots: readonly Slot[]): Extensions => ({
  schema: 1,
  extensions: slots.map(({ description }) => description),
});
