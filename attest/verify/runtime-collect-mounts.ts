import { readWhole } from "./runtime-files.ts";
import { namespaces, orGone } from "./runtime-procfs.ts";
import { isSealedPath, type MountState, visible } from "./runtime-state.ts";

const MAX_MOUNTINFO_BYTES = 4 * 1024 * 1024;
/** Folders that belong to what runs: anybody with the right to may mount there, and nothing sealed is reached through them. */
const FREE = ["/run/", "/tmp/", "/var/"];

/** Octal escapes of blank, tab, newline and backslash (proc_pid_mountinfo(5)). */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Reads mountinfo: `id parent major:minor root point options [optional...] - type source superOptions`. */
export function parseMountInfo(mountinfo: string): readonly Omit<MountState, "view">[] {
  return mountinfo.split("\n").flatMap((line) => {
    const row = /^\d+ \d+ (\d+:\d+) (\S+) (\S+) \S+ (?:\S+ )*?- (\S+) /.exec(line);
    const [, device = "", root = "", point = "", type = ""] = row ?? [];
    if (row === null) return [];
    return [{ device, root: visible(unescaped(root)), point: visible(unescaped(point)), type: visible(type) }];
  });
}

/** Of the mounts in one namespace those that are judged. `view` null: the system's own. */
export function relevantMounts(mounts: readonly Omit<MountState, "view">[], view: string | null): readonly MountState[] {
  return mounts
    .filter(({ point }) => (view === null ? !FREE.some((folder) => point.startsWith(folder)) : isSealedPath(point)))
    .map((mount) => ({ view, ...mount }));
}

function mountsSeenBy(pid: number): readonly Omit<MountState, "view">[] {
  const bytes = orGone(() => readWhole(`/proc/${pid}/mountinfo`, MAX_MOUNTINFO_BYTES));
  return bytes === undefined ? [] : parseMountInfo(bytes.toString("utf8"));
}

/** Mounts that could hide a sealed file or an interface of the kernel, and the device of the root below them all. */
export function collectMounts(): { readonly mounts: readonly MountState[]; readonly rootDevice: string } {
  const mounts = namespaces("mnt").flatMap(({ pid, unit }) => {
    return relevantMounts(mountsSeenBy(pid), pid === 1 ? null : visible(unit ?? `process ${pid}`));
  });
  const root = mounts.find(({ view, point }) => view === null && point === "/");
  return { mounts, rootDevice: root?.device ?? "0:0" };
}
