import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../engine/blob-store.ts";
import { cacheDirectory } from "../engine/command.ts";
import { createLocalEngine } from "../engine/local.ts";
import { createFetcher } from "../fetch/fetch.ts";
import { findMirrors, proxyEnvironment } from "../fetch/mirrors.ts";
import type { CommandIo } from "../io.ts";
import { preflight } from "../preflight.ts";
import type { BootcRecipe } from "../recipe/recipe.ts";
import { type BootcLock, formatBootcLock } from "./bootc-lock.ts";
import { checkBootcLock, unresolvedProblems } from "./check-bootc-lock.ts";
import type { LockProblem } from "./check-lock.ts";
import { formatChanges, lockChanges } from "./diff.ts";
import { loadBootcLock, lockSoFar } from "./load.ts";
import { lockPath } from "./lock.ts";
import { bootcArchives, ownAddresses, updateBootcLock } from "./update-bootc.ts";
import { createWorkshop } from "./workshop.ts";

export interface LockFlags {
  readonly mirror?: string[];
  readonly keyring?: string;
  readonly online?: boolean;
  readonly json?: boolean;
}

async function resolve(recipe: BootcRecipe, before: BootcLock | undefined, flags: LockFlags, io: CommandIo): Promise<BootcLock> {
  const report = (line: string): void => io.stderr(`${line}\n`);
  await preflight(["apt-get", "gpgv", "debian-archive-keyring", "mmdebstrap", "bwrap", "uidmap"], { notice: report });
  const mirrors = await findMirrors(bootcArchives(recipe), flags.mirror ?? [], io.env, ownAddresses(recipe));
  const proxyEnv = await proxyEnvironment(io.env);
  const cacheDir = cacheDirectory(io.env);
  mkdirSync(cacheDir, { recursive: true });
  const fetcher = createFetcher({ mirrors, proxyEnv });
  const keyring = (name: string): string => {
    throw new TypeError(`no step of a lock has a secret, but one asks for ${name}`);
  };
  const common = { top: io.top, ...(io.signal === undefined ? {} : { signal: io.signal }) };
  const workshop = createWorkshop({
    ...{ ...common, cacheDir, recipe, report },
    engine: (programPath) =>
      createLocalEngine({ cacheDir, top: io.top, fetcher, keyring, programs: async (name) => programPath(name) }),
  });
  const named = {
    ...(flags.keyring === undefined ? {} : { keyring: flags.keyring }),
    ...(before === undefined ? {} : { previous: before }),
  };
  return await updateBootcLock(recipe, { ...common, ...named, mirrors, proxyEnv, report, workshop });
}

const say = (problems: readonly LockProblem[], path: string, io: CommandIo): void => {
  for (const { code, root, message } of problems) io.stderr(`${path}: ${root ?? "lock"}: ${message} [${code}]\n`);
};

/**
 * Resolves and writes a lock. What cannot be reached is written as unresolved, but never over a lock in which it was resolved.
 * @returns 0, or 3 when something stayed unresolved
 */
export async function updateBootc(recipe: BootcRecipe, flags: LockFlags, io: CommandIo): Promise<number> {
  const path = lockPath(recipe.id);
  const before = await lockSoFar(loadBootcLock(join(io.top, path)));
  const lock = await resolve(recipe, before, flags, io);
  const open = unresolvedProblems(lock);
  const isWorse = open.length > 0 && before !== undefined && before.unresolved.length < open.length;
  if (!isWorse) await writeFileAtomically(join(io.top, path), formatBootcLock(lock));
  const changes = before === undefined ? [] : lockChanges(before, lock);
  if (flags.json === true)
    io.stdout(`${JSON.stringify({ schema: 1, lock: path, written: !isWorse, changes, unresolved: lock.unresolved }, null, 2)}\n`);
  else io.stdout(isWorse ? `${path} stays as it was\n` : before === undefined ? `made ${path}\n` : formatChanges(changes));
  say(open, path, io);
  return open.length === 0 ? 0 : 3;
}

/** @returns 0 when a build can start, 2 when the lock is not this recipe's, 3 when something in it is unresolved */
export async function checkBootc(recipe: BootcRecipe, flags: LockFlags, io: CommandIo): Promise<number> {
  const path = lockPath(recipe.id);
  const lock = await loadBootcLock(join(io.top, path));
  const problems = checkBootcLock(recipe, lock);
  const open = unresolvedProblems(lock);
  if (flags.json === true) io.stdout(`${JSON.stringify({ schema: 1, lock: path, problems: [...problems, ...open] }, null, 2)}\n`);
  say([...problems, ...open], path, io);
  if (problems.length > 0) return 2;
  if (open.length > 0) {
    io.stderr(`${path}: run \`secai lock update ${recipe.id}\` where the registries and repositories can be reached\n`);
    return 3;
  }
  io.stderr(`${path}: matches the recipe\n`);
  return 0;
}
