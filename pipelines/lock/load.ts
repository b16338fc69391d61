import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import { LockError } from "./errors.ts";
import {
  comparePackages,
  compareText,
  formatLock,
  type Lock,
  type LockedNpmPackage,
  type LockedPackage,
  lockedRoot,
  rootNames,
} from "./lock.ts";

const schemaUrl = new URL("../../recipes/schema/lock.schema.json", import.meta.url);

/** Ours has 140 KiB. */
const MAX_LOCK_BYTES = 8 << 20;

let validator: ValidateFunction<Lock> | undefined;

function loadValidator(): ValidateFunction<Lock> {
  validator ??= new Ajv({ strict: true }).compile<Lock>(JSON.parse(readFileSync(schemaUrl, "utf8")) as object);
  return validator;
}

function malformed(expected: string, actual: string): LockError {
  return new LockError("LOCK_MALFORMED", { expected, actual });
}

function checkOrder(root: string, packages: readonly LockedPackage[]): void {
  const files = new Set<string>();
  for (const [index, entry] of packages.entries()) {
    const before = packages[index - 1];
    if (before !== undefined && comparePackages(before, entry) >= 0) {
      throw malformed(`roots.${root} sorted, every package once`, `${entry.name} after ${before.name}`);
    }
    // The files of a root are laid side by side in one folder.
    if (files.has(basename(entry.path)))
      throw malformed(`file names of roots.${root} that differ`, `${basename(entry.path)} twice`);
    files.add(basename(entry.path));
  }
}

function checkNpm(packages: readonly LockedNpmPackage[]): void {
  for (const [index, { name }] of packages.entries()) {
    const before = packages[index - 1];
    if (before !== undefined && compareText(before.name, name) >= 0)
      throw malformed("npm sorted, every package once", `${name} after ${before.name}`);
  }
}

/**
 * Parses a lock: exactly the text that `formatLock` writes, so that no byte of it is without meaning.
 * @throws LockError LOCK_MALFORMED
 */
export function parseLock(text: string): Lock {
  if (text.length > MAX_LOCK_BYTES) throw malformed("at most 8 MiB", `${text.length} characters`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LockError("LOCK_MALFORMED", { expected: "JSON", actual: (cause as Error).message, cause });
  }
  const validate = loadValidator();
  if (!validate(value)) {
    const [error] = validate.errors ?? [];
    throw malformed(
      "the shape of recipes/schema/lock.schema.json",
      `${error?.instancePath ?? ""} ${error?.message ?? ""}`.trim(),
    );
  }
  for (const root of rootNames(value)) checkOrder(root, lockedRoot(value, root));
  checkNpm(value.npm ?? []);
  if (formatLock(value) !== text)
    throw malformed("the text form that `secai lock update` writes", "other text for the same value");
  return value;
}

/**
 * @param path absolute
 * @throws LockError LOCK_MISSING, LOCK_MALFORMED
 */
export async function loadLock(path: string): Promise<Lock> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new LockError("LOCK_MISSING", { expected: path, actual: (cause as NodeJS.ErrnoException).code ?? "unreadable", cause });
  }
  return parseLock(text);
}
