import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { DISK_FILE, MEASUREMENTS_FILE, QCOW2_FILE } from "@secai/formats/release-layout";
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
  const { pcrs, rootHash, designation } = parseMeasurements(readFileSync(join(dir, MEASUREMENTS_FILE)));
  const media = [DISK_FILE, QCOW2_FILE].filter((name) => existsSync(join(dir, name)));
  const rows = [
    ["image", `${relative(top, dir)} (${changed ? "new" : "unchanged"}, ${duration(elapsedMs)})`],
    ["media", media.map((name) => `${name} ${bytes(lstatSync(join(dir, name)).size)}`).join(", ")],
    ["root hash", rootHash],
    ...Object.entries(pcrs.sha256).map(([index, value]) => [`PCR ${index}`, value]),
    ["signed by", `${designation} keys${designation === "dev" ? ", not for production" : ""}`],
    ["boot it", "make boot"],
    ["verify it", "make verify-release"],
  ];
  return `\n${rows.map(([name = "", value]) => `${name.padEnd(10)} ${value}`).join("\n")}\n`;
}
