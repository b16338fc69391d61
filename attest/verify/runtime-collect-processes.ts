import { readlinkSync, statSync } from "node:fs";
import { readWhole } from "./runtime-files.ts";
import { orGone, processIds, unitOf } from "./runtime-procfs.ts";
import { type ProcessState, visible } from "./runtime-state.ts";

const MAX_MAPS_BYTES = 8 * 1024 * 1024;
const MAX_STAT_BYTES = 4096;
const MAX_FOREIGN = 16;

/** Controlling terminal in /proc/PID/stat: field 7 after the parenthesised name, which may hold anything (proc_pid_stat(5)). */
export function parseTerminal(stat: string): string | null {
  const device = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[4] ?? 0);
  // The kernel's new_encode_dev: minor bits 0-7 and 20-31, major bits 8-19.
  const [major, minor] = [(device >> 8) & 0xfff, (device & 0xff) | ((device >>> 12) & 0xfff00)];
  return device === 0 ? null : `${major}:${minor}`;
}

/** Devices on which sealed files lie. */
export interface SealedDevices {
  /** As stat(2) numbers them. */
  readonly files: ReadonlySet<number>;
  /** As mappings name them, major:minor in decimal: what is merged shows the overlay's. */
  readonly mapped: ReadonlySet<string>;
}

/** Files mapped as code whose device is none of the sealed ones. Memory without a file, such as a JIT compiler's, has none. */
export function parseForeignCode(maps: string, sealed: ReadonlySet<string>): readonly string[] {
  const found = new Set<string>();
  for (const line of maps.split("\n")) {
    const [, major = "", minor = "", path = ""] = /^\S+ ..x. \S+ ([0-9a-f]+):([0-9a-f]+) [1-9]\d*\s+(.*)$/.exec(line) ?? [];
    if (path !== "" && !sealed.has(`${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`)) found.add(visible(path));
  }
  return [...found].slice(0, MAX_FOREIGN);
}

/** Undefined for kernel threads and for processes that have ended. */
function stateOf(pid: number, devices: SealedDevices): ProcessState | undefined {
  return orGone(() => {
    const exe = readlinkSync(`/proc/${pid}/exe`);
    const unit = unitOf(pid);
    return {
      exe: visible(exe),
      sealed: devices.files.has(statSync(`/proc/${pid}/exe`).dev),
      unit: unit === null ? null : visible(unit),
      terminal: parseTerminal(readWhole(`/proc/${pid}/stat`, MAX_STAT_BYTES).toString("latin1")),
      foreignCode: parseForeignCode(readWhole(`/proc/${pid}/maps`, MAX_MAPS_BYTES).toString("latin1"), devices.mapped),
    };
  });
}

/** Every user-space process but this one; equal ones once. */
export function collectProcesses(devices: SealedDevices): readonly ProcessState[] {
  const states = processIds().flatMap((pid) => (pid === process.pid ? [] : [stateOf(pid, devices)]));
  const distinct = new Map(states.flatMap((state) => (state === undefined ? [] : [[JSON.stringify(state), state]])));
  return [...distinct].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, state]) => state);
}
