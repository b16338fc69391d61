import { readFileSync } from "node:fs";
import { join } from "node:path";

export const top = join(import.meta.dirname, "../../..");
export const unitFolder = join(top, "image/common/usr/lib/systemd/system");

/** What a test needs of a unit file: the real command and environment, so that no test runs anything but what ships. */
export interface Unit {
  /** ExecStart= in words. The shipped commands have no quotes. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Specifiers of systemd.unit(5) that the units use: "%d" the credentials directory, "%S" the state directory. */
export type Specifiers = Readonly<Record<"%d" | "%S", string>>;

export function readUnit(name: string, specifiers: Specifiers): Unit {
  const text = readFileSync(join(unitFolder, name), "utf8").replaceAll(/\\\n\s*/g, "");
  const expand = (value: string): string => value.replaceAll("%d", specifiers["%d"]).replaceAll("%S", specifiers["%S"]);
  const values = (key: string): string[] =>
    text
      .split("\n")
      .filter((line) => line.startsWith(`${key}=`))
      .map((line) => expand(line.slice(key.length + 1)));
  return {
    command: (values("ExecStart")[0] ?? "").split(" "),
    environment: Object.fromEntries(
      values("Environment").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
    ),
  };
}
