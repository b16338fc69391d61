import { join } from "node:path";
import type { Evidence } from "./runtime-evidence.ts";
import { readWhole } from "./runtime-files.ts";
import { orGone } from "./runtime-procfs.ts";

const MAX_MOUNTINFO_BYTES = 4 * 1024 * 1024;
const MAX_SMALL_BYTES = 64 * 1024;
/** What cryptsetup names the device-mapper device that veritysetup-generator makes of the root (its UUID begins with the kind of target). */
const VERITY_UUID = /^CRYPT-VERITY-[0-9a-f]*-root$/;

/** The mount that `/` is now: the last one there (proc_pid_mountinfo(5): device is the third field, the mount's options the sixth). */
function rootMount(mountinfo: string): { readonly device: string; readonly readOnly: boolean } | undefined {
  const fields = mountinfo.split("\n").map((line) => line.split(" "));
  const found = fields.findLast(([, , device = "", , point]) => point === "/" && /^[0-9]{1,7}:[0-9]{1,7}$/.test(device));
  return found && { device: found[2] ?? "", readOnly: (found[5] ?? "").split(",").includes("ro") };
}

/**
 * The root file system as sysfs and the kernel command line tell it, for whoever may not ask device-mapper itself. Weaker than
 * `veritysetup status` in two ways: that blocks were found corrupted does not show (reading them fails, though), and the root hash is the
 * one that the kernel was booted with. That one is worth as much as the measured command line (PCR 11), which the initrd obeys.
 */
export function rootFromSysfs(root = "/"): Evidence["root"] {
  const text = (path: string, maxBytes: number) => orGone(() => readWhole(join(root, path), maxBytes).toString("latin1")) ?? "";
  const mount = rootMount(text("/proc/self/mountinfo", MAX_MOUNTINFO_BYTES));
  const uuid = mount === undefined ? "" : text(`/sys/dev/block/${mount.device}/dm/uuid`, MAX_SMALL_BYTES).trim();
  const hashes = text("/proc/cmdline", MAX_SMALL_BYTES)
    .split(/\s+/)
    .filter((word) => word.startsWith("roothash="));
  const hash = hashes.length === 1 ? /^roothash=([0-9a-f]{64})$/.exec(hashes[0] ?? "")?.[1] : undefined;
  return { verity: VERITY_UUID.test(uuid) ? "verified" : "absent", hash: hash ?? null, readOnly: mount?.readOnly === true };
}
