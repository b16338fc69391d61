import { readdirSync } from "node:fs";
import { join } from "node:path";
import { RuntimeError } from "./runtime-errors.ts";
import { digestOf } from "./runtime-files.ts";
import { namespaces, orGone, readLiving } from "./runtime-procfs.ts";
import { type RunningState, visible } from "./runtime-state.ts";

/** What decides how our services behave: every file in these folders is part of the release. */
export const POLICY_FOLDER = "/etc/secure-ai";
export const PROGRAM_FOLDERS = ["/usr/lib/secure-ai", "/usr/libexec/secure-ai"] as const;
const SETTINGS_FOLDERS = ["/etc/sysctl.d", "/usr/lib/sysctl.d", "/etc/modprobe.d", "/usr/lib/modprobe.d"];
const MAX_FILES = 1024;

/** Files below `folder` as a process with this root sees them. @throws RuntimeError EVIDENCE_TOO_LARGE */
function filesBelow(root: string, folder: string): readonly string[] {
  const entries = orGone(() => readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) ?? [];
  if (entries.length > MAX_FILES)
    throw new RuntimeError("EVIDENCE_TOO_LARGE", { expected: `at most ${MAX_FILES} files in ${folder}`, actual: "more" });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}

/** The system's view first, then that of each process in a mount namespace of its own, where it differs. */
export function collectFiles(): RunningState["files"] {
  const system = viewOf("", [POLICY_FOLDER, ...PROGRAM_FOLDERS, ...SETTINGS_FOLDERS], null);
  const known = new Map(system.map(({ path, sha256 }) => [path, sha256]));
  const others = namespaces("mnt")
    .filter(({ pid }) => pid !== 1)
    .flatMap(({ pid, pids, unit }) => {
      const view = visible(unit ?? `process ${pid}`);
      return readLiving(pids, (one) => viewOf(`/proc/${one}/root`, [POLICY_FOLDER, ...PROGRAM_FOLDERS], view)) ?? [];
    })
    .filter(({ path, sha256 }) => known.get(path) !== sha256);
  return [...system, ...others];
}

function viewOf(root: string, folders: readonly string[], view: string | null): RunningState["files"] {
  return folders
    .flatMap((folder) => filesBelow(root, folder))
    .sort()
    .map((path) => ({ path: visible(path), sha256: digestOf(join(root, path)), view }));
}
