import type { Violation } from "./violation.ts";

/** What one look at one part of the machine brings to light. */
export interface Look {
  readonly violations: readonly Violation[];
  /** What was done and undone since the last look: stands no longer, and still counts. */
  readonly noticed?: readonly Violation[];
  /** Directories to watch for events, so that the next look comes soon. */
  readonly folders?: readonly string[];
  /** Look again after this many ms: something is on its way and not yet wrong. */
  readonly againMs?: number;
}

/** Parts of the machine, each looked at on its own, in this order: what is mounted decides what all others see. */
export const areas = ["mounts", "files", "units", "firewall", "modules", "listeners", "settings", "metadata", "models"] as const;
export type Area = (typeof areas)[number];
