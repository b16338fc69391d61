import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { outputOf } from "./runtime-command-output.ts";
import { RuntimeError } from "./runtime-errors.ts";
import { digestOf, digestOfEntry } from "./runtime-files.ts";
import { orGone } from "./runtime-procfs.ts";
import { type FileState, type RunningState, type UnitState, visible } from "./runtime-state.ts";

const LIST_LIMIT_MS = 60_000;
const GENERATOR_LIMIT_MS = 20_000;
const MAX_ENTRIES = 1024;
/** Every kind of unit that can have a file of its own making; devices come from the kernel. */
const KINDS = ["service", "socket", "timer", "path", "mount", "automount", "swap", "target", "slice", "scope"];
const PROPERTIES = ["Id", "LoadState", "ActiveState", "FragmentPath", "DropInPaths"];
/** Folders of /run from which systemd takes units and drop-ins (systemd.unit(5)). */
const RUNTIME_FOLDERS = [
  ...["/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/system", "/run/systemd/system.attached"],
  ...["/run/systemd/generator.early", "/run/systemd/generator", "/run/systemd/generator.late"],
];
const GENERATED_FOLDERS = { normal: "generator", early: "generator.early", late: "generator.late" } as const;
const GENERATORS = "/usr/lib/systemd/system-generators";
const MASKED_GENERATORS = "/etc/systemd/system-generators";

/** Where a unit's file really is: templates and aliases are links. */
function fileState(path: string): FileState {
  const real = orGone(() => realpathSync(path)) ?? path;
  return { path: visible(real), sha256: digestOf(real) };
}

/** Reads `systemctl show`: one block of `Name=value` lines a unit. A path with blanks comes out as several that are not there. */
export function parseUnits(output: string): readonly UnitState[] {
  return output.split(/\n\n+/).flatMap((block): UnitState[] => {
    const value = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(block)?.[1] ?? "";
    const [name, fragment] = [value("Id"), value("FragmentPath")];
    if (name === "") return [];
    return [
      {
        name: visible(name),
        load: visible(value("LoadState")),
        active: visible(value("ActiveState")),
        fragment: fragment.startsWith("/") ? fileState(fragment) : null,
        dropIns: value("DropInPaths")
          .split(" ")
          .filter((path) => path.startsWith("/"))
          .map(fileState),
      },
    ];
  });
}

/** Files and links below `folder`, named as if it were `as`. @throws RuntimeError EVIDENCE_TOO_LARGE */
function entriesBelow(folder: string, as = folder): readonly FileState[] {
  const entries = orGone(() => readdirSync(folder, { recursive: true, withFileTypes: true })) ?? [];
  if (entries.length > MAX_ENTRIES)
    throw new RuntimeError("EVIDENCE_TOO_LARGE", { expected: `at most ${MAX_ENTRIES} entries in ${as}`, actual: "more" });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return { path: visible(as + path.slice(folder.length)), sha256: digestOfEntry(path) };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Generators of the sealed root that /etc does not mask; those of /run are nobody's. */
function sealedGenerators(): readonly string[] {
  return readdirSync(GENERATORS).filter((name) => orGone(() => readlinkSync(join(MASKED_GENERATORS, name))) !== "/dev/null");
}

/**
 * What the sealed generators make now. They get no credentials: what only a credential brings is not the release's.
 * @throws RuntimeError STATE_COMMAND_FAILED
 */
function generate(scratch: string): readonly FileState[] {
  const folder = mkdtempSync(join(scratch, "secai-units-"));
  try {
    const places = Object.keys(GENERATED_FOLDERS).map((place) => join(folder, place));
    for (const place of places) mkdirSync(place);
    const env = { SYSTEMD_SCOPE: "system", SYSTEMD_IN_INITRD: "0", SYSTEMD_FIRST_BOOT: "0", SYSTEMD_LOG_TARGET: "null" };
    for (const name of sealedGenerators())
      outputOf({ argv: [join(GENERATORS, name), ...places], limitMs: GENERATOR_LIMIT_MS, env });
    return Object.entries(GENERATED_FOLDERS).flatMap(([place, as]) => entriesBelow(join(folder, place), `/run/systemd/${as}`));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @throws RuntimeError STATE_COMMAND_FAILED, EVIDENCE_TOO_LARGE */
export function collectUnits(scratch: string): Pick<RunningState, "units" | "unitFiles" | "generated"> {
  const patterns = KINDS.map((kind) => `*.${kind}`);
  const argv = ["systemctl", "show", "--all", "--no-pager", `--property=${PROPERTIES.join(",")}`, "--", ...patterns] as const;
  const units = new Map(parseUnits(outputOf({ argv: [...argv], limitMs: LIST_LIMIT_MS })).map((unit) => [unit.name, unit]));
  return {
    units: [...units.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    unitFiles: RUNTIME_FOLDERS.flatMap((folder) => entriesBelow(folder)),
    generated: generate(scratch),
  };
}
