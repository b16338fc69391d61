import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseManifest } from "@secai/formats/manifest";
import { MANIFEST_FILE, MEASUREMENTS_FILE, mediumOf } from "@secai/formats/release-layout";
import { parseMeasurements } from "@secai/measure/measurements";
import { bytes, duration } from "./progress/units.ts";

export interface SummaryFacts {
  /** The release directory. */
  readonly dir: string;
  readonly top: string;
  readonly changed: boolean;
  readonly elapsedMs: number;
}

/** What `make image` ends with: where the image is, what a machine that boots it will measure, and what to do next. */
export function releaseSummary({ dir, top, changed, elapsedMs }: SummaryFacts): string {
  const { pcrs, rootHash } = parseMeasurements(readFileSync(join(dir, MEASUREMENTS_FILE)));
  const { designation, trust_root, files } = parseManifest(readFileSync(join(dir, MANIFEST_FILE)));
  const rows = [
    ["image", `${relative(top, dir)} (${changed ? "new" : "unchanged"}, ${duration(elapsedMs)})`],
    ["media", mediaLine(files)],
    ["root hash", rootHash],
    ...Object.entries(pcrs.sha256).map(([index, value]) => [`PCR ${index}`, value]),
    [
      "signed by",
      `this user's key ${trust_root.fingerprint.slice(0, 16)}, as ${designation}${designation === "dev" ? ": not for production" : ""}`,
    ],
    ["boot it", "make boot"],
    ["verify it", "make verify-release"],
  ];
  return `\n${rows.map(([name = "", value]) => `${name.padEnd(10)} ${value}`).join("\n")}\n`;
}

/** "disk.raw.zst 118 MiB, oci 78 MiB": a medium of several files by the sum of them. */
function mediaLine(files: readonly { readonly name: string; readonly size: number }[]): string {
  const sizes = new Map<string, number>();
  for (const { name, size } of files) {
    const medium = mediumOf(name);
    if (medium !== undefined) sizes.set(medium, (sizes.get(medium) ?? 0) + size);
  }
  return [...sizes].map(([name, size]) => `${name} ${bytes(size)}`).join(", ");
}
