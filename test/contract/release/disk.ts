import { sha256 } from "@secai/formats/digest";
import type { FixtureChanges } from "./fixture.ts";
import { isoOf } from "./media.ts";

/** A release of another disk than the fixture's own, with an installer that names it and without the other media. */
export function releaseOfDisk(disk: Uint8Array, installer = isoOf(`sha256:${sha256(disk)}\n`)): FixtureChanges {
  return {
    files: { "disk.raw.zst": { content: disk }, "installer.iso": { content: installer } },
    options: { absent: ["disk.ova", "oci"].map((name) => ({ name, reason: "not made by this test" })) },
  };
}
