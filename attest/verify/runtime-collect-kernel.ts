import { existsSync, readdirSync, statSync } from "node:fs";
import { readWhole } from "./runtime-files.ts";
import { orGone } from "./runtime-procfs.ts";
import { type RunningState, visible } from "./runtime-state.ts";

const MAX_FILE_BYTES = 1024 * 1024;
const SYSCTL_FOLDERS = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];
const MODPROBE_FOLDERS = ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d"];

function textOf(path: string, maxBytes = MAX_FILE_BYTES): string {
  return orGone(() => readWhole(path, maxBytes))?.toString("latin1") ?? "";
}

function configuration(root: string, folders: readonly string[]): readonly string[] {
  return folders
    .map((folder) => root + folder)
    .flatMap((folder) =>
      (orGone(() => readdirSync(folder)) ?? [])
        .filter((name) => name.endsWith(".conf"))
        .map((name) => textOf(`${folder}/${name}`)),
    );
}

/** Names of the settings in a sysctl.d(5) file, patterns left out, in the notation with dots. */
export function parseSysctlKeys(file: string): readonly string[] {
  return file.split("\n").flatMap((line) => {
    const key = /^\s*-?\s*([A-Za-z0-9_./:@-]{1,256}?)\s*=/.exec(line)?.[1];
    if (key === undefined) return [];
    // A slash before any dot: then slashes separate, and dots are part of names (sysctl.d(5)).
    const slashes = /^[^.]*\//.test(key);
    return [slashes ? key.replaceAll(/[./]/g, (separator) => (separator === "/" ? "." : "/")) : key];
  });
}

/** /proc/sys path of a setting in dot notation. */
function settingPath(key: string): string {
  return `/proc/sys/${key.replaceAll(/[./]/g, (separator) => (separator === "." ? "/" : "."))}`;
}

function settingOf(root: string, key: string): string | null {
  const path = root + settingPath(key);
  if (path.includes("/../") || orGone(() => statSync(path))?.isFile() !== true) return null;
  try {
    return visible(readWhole(path, MAX_FILE_BYTES).toString("latin1").trim().replaceAll(/\s+/g, " "));
  } catch (error) {
    // Some settings can only be written (EACCES even for root), some need a device that is not there (EIO).
    if (["EACCES", "EPERM", "EIO"].includes((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}

/** @param root what stands before every path; "" for the machine itself */
export function collectSysctl(root = ""): RunningState["sysctl"] {
  const keys = new Set(configuration(root, SYSCTL_FOLDERS).flatMap(parseSysctlKeys));
  return Object.fromEntries([...keys].sort().map((key) => [key, settingOf(root, key)]));
}

/** Module names use "-" and "_" as one and the same (modprobe(8)); the kernel prints "_". */
export const moduleName = (name: string): string => name.replaceAll("-", "_");

/** Modules that a modprobe.d(5) file forbids: `install NAME /bin/false` or `/bin/true`. */
export function parseBarred(file: string): readonly string[] {
  return [...file.matchAll(/^\s*install\s+(\S+)\s+(?:\/usr)?\/bin\/(?:false|true)\s*$/gm)].map(([, name = ""]) =>
    moduleName(name),
  );
}

/** @param root what stands before every path; "" for the machine itself */
export function collectModules(root = ""): RunningState["modules"] {
  const loaded = textOf(`${root}/proc/modules`)
    .split("\n")
    .flatMap((line) => (line === "" ? [] : [visible(line.split(" ", 1)[0] ?? "")]));
  const barred = new Set(configuration(root, MODPROBE_FOLDERS).flatMap(parseBarred));
  const taintPath = `${root}/proc/sys/kernel/tainted`;
  const taint = existsSync(taintPath) ? Number(textOf(taintPath).trim()) : 0;
  return { loaded: loaded.sort(), barred: [...barred].map(visible).sort(), taint };
}
