import { BaselineError } from "./errors.ts";

export interface SysctlFile {
  /** In the image, e.g. "/usr/lib/sysctl.d/90-x.conf". */
  readonly path: string;
  readonly text: string;
}

/** Which file hides which of the same name: sysctl.d(5). */
const directories = ["/usr/lib/sysctl.d", "/usr/local/lib/sysctl.d", "/etc/sysctl.d"] as const;

/** Whether systemd-sysctl reads the file. */
export const isSysctlFile = (path: string): boolean =>
  path.endsWith(".conf") &&
  directories.some((directory) => path.lastIndexOf("/") === directory.length && path.startsWith(directory));

const baseName = ({ path }: SysctlFile) => path.slice(path.lastIndexOf("/") + 1);
const rank = ({ path }: SysctlFile) => directories.findIndex((directory) => path.startsWith(`${directory}/`));

/** "net/ipv4/conf/eth0.1/x" and "net.ipv4.conf.eth0/1.x" are one setting: the first separator says which is which. */
function keyOf(written: string): string {
  const swapped = { ".": "/", "/": "." } as const;
  return /[./]/.exec(written)?.[0] === "/" ? written.replaceAll(/[./]/g, (one) => swapped[one as "." | "/"]) : written;
}

function settingOf(line: string, path: string): readonly [string, string] {
  const found = /^-?(?<key>[^=\s-][^=\s]*)\s*=\s*(?<value>.*)$/.exec(line)?.groups;
  if (found?.key === undefined || found.value === undefined || found.value === "" || /[*?[]/.test(found.key)) {
    throw new BaselineError("BASELINE_SETTING_MALFORMED", { expected: `a setting and its value in ${path}`, actual: line });
  }
  return [keyOf(found.key), found.value.replaceAll(/\s+/g, " ")];
}

/**
 * What the kernel is set to after systemd-sysctl has read these files: in the order of their names, the last value of a setting counts.
 * A setting that may be absent ("-") is there like any other. White space in a value is one blank.
 * @throws BaselineError BASELINE_SETTING_MALFORMED; also for a pattern, which no list of values can hold
 */
export function effectiveSysctl(files: readonly SysctlFile[]): Readonly<Record<string, string>> {
  const visible = new Map(files.toSorted((a, b) => rank(a) - rank(b)).map((file) => [baseName(file), file]));
  const ordered = [...visible.values()].toSorted((a, b) => (baseName(a) < baseName(b) ? -1 : 1));
  const settings = ordered.flatMap(({ path, text }) =>
    text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !/^[#;]/.test(line))
      .map((line) => settingOf(line, path)),
  );
  return Object.fromEntries(settings);
}
