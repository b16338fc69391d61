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

/** One process of each namespace of this kind, and its unit; first that of process 1. Kernel threads run no program and do not count. */
export function namespaces(kind: "mnt" | "net"): readonly { readonly pid: number; readonly unit: string | null }[] {
  const seen = new Set<string>();
  return [1, ...processIds()].flatMap((pid) => {
    const id = orGone(() => readlinkSync(`/proc/${pid}/ns/${kind}`));
    if (id === undefined || seen.has(id) || orGone(() => readlinkSync(`/proc/${pid}/exe`)) === undefined) return [];
    seen.add(id);
    return [{ pid, unit: pid === 1 ? null : unitOf(pid) }];
  });
}
