import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "@secai/formats/canonical-json";
import { list, literal, object, parseShape, type TypeOf, text } from "@secai/formats/shape";
import { SilverblueError } from "./errors.ts";

const unit = text(/^[A-Za-z0-9:_.@\\-]{1,250}\.(service|socket|timer|path|mount|automount|target)$/, 255);
const unitsShape = object({ schema: literal(1), enabled: list(unit), disabled: list(unit) });
/** Units that must be on, and units that must be off, once every preset has spoken. */
export type UnitStates = TypeOf<typeof unitsShape>;

const MAX_BYTES = 1 << 20;

/** @throws SilverblueError UNIT_STATE_DIFFERS for a unit on both lists or twice on one, FormatError for anything else */
export function parseUnits(bytes: Uint8Array): UnitStates {
  const units = parseShape(unitsShape, parseJson(bytes, MAX_BYTES), "the recipe's units");
  const all = [...units.enabled, ...units.disabled];
  const twice = all.find((name, index) => all.indexOf(name) !== index);
  if (twice !== undefined) throw new SilverblueError("UNIT_STATE_DIFFERS", { expected: "each unit once", actual: twice });
  return units;
}

/** A unit that the base does not have is off as well. */
const OFF = new Set(["disabled", "masked", "masked-runtime", "not-found"]);

/** @param stateOf what `systemctl is-enabled` says of a unit. @throws SilverblueError UNIT_STATE_DIFFERS */
export function checkUnits({ enabled, disabled }: UnitStates, stateOf: (unit: string) => string): void {
  const differs = (expected: string, name: string, actual: string) =>
    new SilverblueError("UNIT_STATE_DIFFERS", {
      expected: `${name} ${expected}`,
      actual: actual === "" ? "no such unit" : actual,
    });
  for (const name of enabled) if (stateOf(name) !== "enabled") throw differs("enabled", name, stateOf(name));
  for (const name of disabled) if (!OFF.has(stateOf(name))) throw differs("disabled", name, stateOf(name));
}

/** systemd.unit(5), "String Escaping for Inclusion in Unit Names", for a path. */
export function escapePath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length === 0) return "-";
  const bytes = [...Buffer.from(parts.join("/"))];
  return bytes
    .map((byte, index) => {
      const character = String.fromCharCode(byte);
      if (character === "/") return "-";
      const plain = /[A-Za-z0-9:_]/.test(character) || (character === "." && index > 0);
      return plain ? character : `\\x${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
}

/** Every mount unit below usr/lib/systemd/system of `overlay` bears the name of its mount point. @throws SilverblueError UNIT_NAME_DIFFERS */
export function checkMountNames(overlay: string): void {
  const folder = join(overlay, "usr/lib/systemd/system");
  for (const file of listed(folder)) {
    const kind = /\.(mount|automount)$/.exec(file)?.[1];
    if (kind === undefined) continue;
    const where = /^Where=(.+)$/m.exec(readFileSync(join(folder, file), "utf8"))?.[1] ?? "";
    const expected = `${escapePath(where)}.${kind}`;
    if (file !== expected) throw new SilverblueError("UNIT_NAME_DIFFERS", { expected, actual: file });
  }
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
