import type { Baseline, BaselineEntry } from "@secai/formats/baseline";

const unitFile =
  /^\/(?:etc|usr\/lib)\/systemd\/system\/(?<name>[^/]+\.(?:service|socket|target|mount|automount|timer|path|slice|scope|swap|device))$/;

/** Names of enabled units in what `systemctl list-unit-files --no-legend --plain` prints: name, state, preset. */
export function enabledUnits(listing: string): ReadonlySet<string> {
  const rows = listing.split("\n").map((line) => line.trim().split(/\s+/));
  return new Set(rows.flatMap(([name, state]) => (name !== undefined && state === "enabled" ? [name] : [])));
}

/** Every unit that has a file of its own; one in /etc hides one of the same name in /usr/lib (systemd.unit(5)). */
export function unitsOf(files: readonly BaselineEntry[], enabled: ReadonlySet<string>): Baseline["units"] {
  const units = new Map<string, Baseline["units"][number]>();
  // "/usr" sorts after "/etc": what comes last is what is hidden.
  for (const file of files.toSorted((a, b) => (a.path < b.path ? 1 : -1))) {
    const name = unitFile.exec(file.path)?.groups?.name;
    if (name !== undefined && file.type === "file") units.set(name, { name, sha256: file.sha256, enabled: enabled.has(name) });
  }
  return [...units.values()];
}
