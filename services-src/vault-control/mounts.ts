/** A line of /proc/self/mountinfo (proc_pid_mountinfo(5)), as far as it is needed here. */
export interface Mount {
  readonly point: string;
  /** Options of the mount itself, e.g. nosuid. */
  readonly options: readonly string[];
  readonly type: string;
  readonly source: string;
}

/** Lines that cannot be read are left out: none of them is about a path that we ask for. */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split("\n").flatMap((line) => {
    const [left, right] = line.split(" - ", 2);
    const [, , , , point, options] = left?.split(" ") ?? [];
    const [type, source] = right?.split(" ") ?? [];
    if (point === undefined || options === undefined || type === undefined || source === undefined) return [];
    return [{ point: unescapeOctal(point), options: options.split(","), type, source: unescapeOctal(source) }];
  });
}

/** Space, tab, newline and backslash are written as three octal digits. */
const unescapeOctal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
