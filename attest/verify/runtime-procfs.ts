import { readdirSync, readlinkSync } from "node:fs";
import { readWhole } from "./runtime-files.ts";

const MAX_CGROUP_BYTES = 64 * 1024;

/** What `read` gives, or undefined when the process is gone or the file is not there: a snapshot of a living system has holes. */
export function orGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH" || code === "EINVAL" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Numbers of all processes now. */
export function processIds(): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]{1,10}$/.test(name))
    .map(Number);
}

/**
 * The unit in a /proc/PID/cgroup of a unified hierarchy (cgroups(7)): the last part of the path that is one. Parts below it are the unit's
 * own. Null: none, as for kernel threads.
 */
export function parseUnit(cgroup: string): string | null {
  const path = /^0::(\/.*)$/m.exec(cgroup)?.[1] ?? "/";
  const units = path.split("/").filter((part) => /\.(service|scope|socket|mount|swap)$/.test(part));
  return units.at(-1) ?? null;
}

export function unitOf(pid: number): string | null {
  const cgroup = orGone(() => readWhole(`/proc/${pid}/cgroup`, MAX_CGROUP_BYTES));
  return cgroup === undefined ? null : parseUnit(cgroup.toString("utf8"));
}

/** A namespace of the machine, by the processes in it. */
export interface Namespace {
  /** One of them, and its unit. */
  readonly pid: number;
  readonly unit: string | null;
  /** All of them, `pid` first. */
  readonly pids: readonly number[];
}

/** Every namespace of this kind, that of process 1 first. Kernel threads run no program and do not count. */
export function namespaces(kind: "mnt" | "net"): readonly Namespace[] {
  const byId = new Map<string, number[]>();
  for (const pid of [1, ...processIds().filter((id) => id !== 1)]) {
    const id = orGone(() => readlinkSync(`/proc/${pid}/ns/${kind}`));
    if (id === undefined || orGone(() => readlinkSync(`/proc/${pid}/exe`)) === undefined) continue;
    byId.set(id, [...(byId.get(id) ?? []), pid]);
  }
  return [...byId.values()].flatMap((pids) => {
    const [pid] = pids;
    return pid === undefined ? [] : [{ pid, pids, unit: pid === 1 ? null : unitOf(pid) }];
  });
}

/** Whether a process runs now. */
export const isThere = (pid: number): boolean => orGone(() => readlinkSync(`/proc/${pid}/exe`)) !== undefined;

/**
 * What `read` gives for the first process that is still there when all was read: what was read of one that ended meanwhile breaks off
 * somewhere, and would look like files that somebody took away. Undefined when all have ended, and the namespace with them.
 */
export function readLiving<T>(pids: readonly number[], read: (pid: number) => T, living = isThere): T | undefined {
  for (const pid of pids) {
    const found = read(pid);
    if (living(pid)) return found;
  }
  return undefined;
}
