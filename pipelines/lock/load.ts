import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import { type BootcLock, formatBootcLock, type LockedRpm } from "./bootc-lock.ts";
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

const schemaFile = (name: string): object =>
  JSON.parse(readFileSync(new URL(`../../recipes/schema/${name}`, import.meta.url), "utf8")) as object;

/** Ours has 140 KiB. */
const MAX_LOCK_BYTES = 8 << 20;

/** Compiles a schema when it is first asked for. */
function lazyValidator<T>(file: string, ...referred: readonly string[]): () => ValidateFunction<T> {
  let validate: ValidateFunction<T> | undefined;
  return () => {
    // strictRequired is off because the roots demand keys that patterns describe. Optimising costs more than one lock repays.
    const options = { strict: true, strictRequired: false, allowUnionTypes: true, code: { optimize: false } } as const;
    validate ??= new Ajv({ ...options, schemas: referred.map(schemaFile) }).compile<T>(schemaFile(file));
    return validate;
  };
}

const lockValidator = lazyValidator<Lock>("lock.schema.json");
const bootcValidator = lazyValidator<BootcLock>("bootc-lock.schema.json", "lock.schema.json");

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

function checkRpms(rpms: readonly LockedRpm[]): void {
  for (const [index, { name, path }] of rpms.entries()) {
    const before = rpms[index - 1];
    if (before !== undefined && compareText(before.name, name) >= 0)
      throw malformed("rpms sorted, every package once", `${name} after ${before.name}`);
    if (rpms.findIndex((other) => basename(other.path) === basename(path)) !== index)
      throw malformed("file names of rpms that differ", `${basename(path)} twice`);
  }
}

function checkImages({ images, unresolved }: BootcLock): void {
  const open = new Set(unresolved.map(({ name }) => name));
  for (const [index, { name, digest, blobs, signer }] of images.entries()) {
    if (images.findIndex((other) => other.name === name) !== index) throw malformed("every image once", `${name} twice`);
    const resolved = blobs.length > 0 && (signer.kind === "unsigned upstream" || signer.verifiedAt !== null);
    if (resolved && digest !== `sha256:${blobs[0]?.sha256}`) throw malformed(`the blob of ${digest} first in ${name}`, "another");
    if (resolved === open.has(name)) throw malformed(`${name} in "unresolved" exactly as long as it is not`, "the opposite");
  }
}

function parseWith<T>(text: string, validate: ValidateFunction<T>, schema: string): T {
  if (text.length > MAX_LOCK_BYTES) throw malformed("at most 8 MiB", `${text.length} characters`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LockError("LOCK_MALFORMED", { expected: "JSON", actual: (cause as Error).message, cause });
  }
  if (validate(value)) return value;
  const [error] = validate.errors ?? [];
  throw malformed(`the shape of recipes/schema/${schema}`, `${error?.instancePath ?? ""} ${error?.message ?? ""}`.trim());
}

const otherText = () => malformed("the text form that `secai lock update` writes", "other text for the same value");

/**
 * Parses the lock of a recipe on a container image, with the same strictness as `parseLock`.
 * @throws LockError LOCK_MALFORMED
 */
export function parseBootcLock(text: string): BootcLock {
  const value = parseWith(text, bootcValidator(), "bootc-lock.schema.json");
  for (const root of rootNames(value)) checkOrder(root, lockedRoot(value, root));
  checkImages(value);
  checkRpms(value.rpms);
  if (formatBootcLock(value) !== text) throw otherText();
  return value;
}

/**
 * Parses a lock: exactly the text that `formatLock` writes, so that no byte of it is without meaning.
 * @throws LockError LOCK_MALFORMED
 */
export function parseLock(text: string): Lock {
  const value = parseWith(text, lockValidator(), "lock.schema.json");
  for (const root of rootNames(value)) checkOrder(root, lockedRoot(value, root));
  checkNpm(value.npm ?? []);
  if (formatLock(value) !== text) throw otherText();
  return value;
}

/**
 * @param path absolute
 * @throws LockError LOCK_MISSING, LOCK_MALFORMED
 */
export async function loadLock(path: string): Promise<Lock> {
  return parseLock(await readLock(path));
}

/**
 * @param path absolute
 * @throws LockError LOCK_MISSING, LOCK_MALFORMED
 */
export async function loadBootcLock(path: string): Promise<BootcLock> {
  return parseBootcLock(await readLock(path));
}

/** For those who have a file and no recipe. @throws LockError LOCK_MISSING, LOCK_MALFORMED */
export async function loadAnyLock(path: string): Promise<Lock | BootcLock> {
  const text = await readLock(path);
  return /^\{\s*"schema": 1,\s*"kind": "bootc",/.test(text) ? parseBootcLock(text) : parseLock(text);
}

/** What was locked so far; nothing, when there is no lock or it cannot be read any more. */
export async function lockSoFar<L extends Lock | BootcLock>(loading: Promise<L>): Promise<L | undefined> {
  try {
    return await loading;
  } catch (error) {
    if (error instanceof LockError) return undefined;
    throw error;
  }
}

async function readLock(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new LockError("LOCK_MISSING", { expected: path, actual: (cause as NodeJS.ErrnoException).code ?? "unreadable", cause });
  }
}
