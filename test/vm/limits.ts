import type { Accelerator } from "./qemu.ts";

/**
 * Longest waits in milliseconds under TCG: three times the slowest of many runs on two shared cores, because a limit is there to end
 * a hang, not to judge speed. Figures of the runs themselves are in the reports.
 */
const TCG_LIMITS = {
  /** Power on to the agent's greeting. */
  boot: 240_000,
  /** Greeting to `systemctl is-system-running` saying so. */
  settle: 480_000,
  /** A clean power off or the way down of a reboot. */
  shutdown: 120_000,
  /** A boot that fails in the initrd waits for the root device first (systemd's 90 s), then reboots. */
  failedBoot: 400_000,
  /** One command that only looks. */
  command: 60_000,
  /** Writing out or reading in a frozen machine. */
  snapshot: 120_000,
} as const;

export type Limits = { readonly [name in keyof typeof TCG_LIMITS]: number };

/** With hardware virtualisation a boot takes a fifth; half of the limit keeps room for slow disks. */
export function limitsFor(accelerator: Accelerator): Limits {
  const scale = accelerator === "kvm" ? 0.5 : 1;
  return Object.fromEntries(Object.entries(TCG_LIMITS).map(([name, ms]) => [name, ms * scale])) as Limits;
}
