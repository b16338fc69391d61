import { isAbsolute, join } from "node:path";
import { parseArgs } from "node:util";
import { writeFileAtomically } from "../engine/blob-store.ts";
import { findMirrors, proxyEnvironment } from "../fetch/mirrors.ts";
import type { CommandIo } from "../io.ts";
import { preflight } from "../preflight.ts";
import { loadRecipe, type Recipe, recipeFile } from "../recipe/recipe.ts";
import { checkLock, checkLockOnMirrors, type LockProblem } from "./check-lock.ts";
import { diffLocks, formatChanges } from "./diff.ts";
import { LockError } from "./errors.ts";
import { loadLock } from "./load.ts";
import { formatLock, type Lock, lockPath } from "./lock.ts";
import { archivesOf, type UpdateOptions, updateLock } from "./update.ts";

const help = `secai lock update [RECIPE] [--mirror ARCHIVE=URL]... [--keyring FILE] [--json]
secai lock check [RECIPE] [--online] [--mirror ARCHIVE=URL]... [--keyring FILE] [--json]
secai lock diff OLD [NEW] [--json]

update  resolves the recipe against the signed archives and writes recipes/locks/ID.lock.json
check   compares the lock with the recipe; with --online, also with what the archives offer now
diff    says which packages differ between two lock files

RECIPE is an id or a file; default: debian-13. NEW defaults to the committed place of OLD's recipe.
Mirrors: --mirror, else SECAI_MIRRORS="ARCHIVE=URL ...", else those of this machine's apt; last, SECAI_SNAPSHOTS="ARCHIVE=URL ...".
Proxies: http_proxy, https_proxy, no_proxy.

  --json   one JSON document on standard output

Examples:
  secai lock check
  secai lock update debian-13
  secai lock update --mirror debian=https://mirror.example/debian/
  git show HEAD:recipes/locks/debian-13.lock.json > old.lock.json && secai lock diff old.lock.json

Exit status: 0 good (diff: also when something differs), 2 the lock is not this recipe's, 1 or 3 an archive cannot be trusted or had.
`;

const options = {
  mirror: { type: "string", multiple: true },
  keyring: { type: "string" },
  online: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

interface Flags {
  readonly mirror?: string[];
  readonly keyring?: string;
  readonly online?: boolean;
  readonly json?: boolean;
}

async function updateOptions(recipe: Recipe, flags: Flags, io: CommandIo): Promise<UpdateOptions> {
  await preflight(["apt-get", "gpgv", "debian-archive-keyring"], { notice: (line) => io.stderr(`${line}\n`) });
  return {
    mirrors: await findMirrors(archivesOf(recipe), flags.mirror ?? [], io.env),
    proxyEnv: await proxyEnvironment(io.env),
    report: (line) => io.stderr(`${line}\n`),
    ...(flags.keyring === undefined ? {} : { keyring: flags.keyring }),
    ...(io.signal === undefined ? {} : { signal: io.signal }),
  };
}

/** What was locked so far; nothing, when there is no lock or it cannot be read any more. */
async function previous(path: string): Promise<Lock | undefined> {
  try {
    return await loadLock(path);
  } catch (error) {
    if (error instanceof LockError) return undefined;
    throw error;
  }
}

async function update(name: string, flags: Flags, io: CommandIo): Promise<number> {
  const recipe = await loadRecipe(io.top, recipeFile(name));
  const path = join(io.top, lockPath(recipe.id));
  const before = await previous(path);
  const lock = await updateLock(recipe, await updateOptions(recipe, flags, io));
  await writeFileAtomically(path, formatLock(lock));
  const changes = before === undefined ? [] : diffLocks(before, lock);
  if (flags.json === true) io.stdout(`${JSON.stringify({ schema: 1, lock: lockPath(recipe.id), changes }, null, 2)}\n`);
  else io.stdout(before === undefined ? `made ${lockPath(recipe.id)}\n` : formatChanges(changes));
  return 0;
}

async function check(name: string, flags: Flags, io: CommandIo): Promise<number> {
  const recipe = await loadRecipe(io.top, recipeFile(name));
  const lock = await loadLock(join(io.top, lockPath(recipe.id)));
  const problems: LockProblem[] = [...checkLock(recipe, lock)];
  if (flags.online === true) problems.push(...(await checkLockOnMirrors(recipe, lock, await updateOptions(recipe, flags, io))));
  if (flags.json === true) io.stdout(`${JSON.stringify({ schema: 1, lock: lockPath(recipe.id), problems }, null, 2)}\n`);
  for (const { code, root, message } of problems) io.stderr(`${lockPath(recipe.id)}: ${root ?? "lock"}: ${message} [${code}]\n`);
  if (problems.length === 0) io.stderr(`${lockPath(recipe.id)}: matches the recipe\n`);
  return problems.length === 0 ? 0 : 2;
}

async function diff(old: string, young: string | undefined, flags: Flags, io: CommandIo): Promise<number> {
  const locate = (path: string): string => (isAbsolute(path) ? path : join(io.top, path));
  const before = await loadLock(locate(old));
  const after = await loadLock(locate(young ?? lockPath(before.recipe)));
  const changes = diffLocks(before, after);
  io.stdout(flags.json === true ? `${JSON.stringify({ schema: 1, changes }, null, 2)}\n` : formatChanges(changes));
  return 0;
}

/** `secai lock`. @throws RecipeError, LockError, FetchError, PreflightError, and TypeError ERR_PARSE_ARGS for wrong flags */
export async function runLock(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
  const [verb, first, second, ...more] = positionals;
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  if (verb === "diff" && first !== undefined && more.length === 0) return diff(first, second, values, io);
  if (verb === "update" && second === undefined) return update(first ?? "debian-13", values, io);
  if (verb === "check" && second === undefined) return check(first ?? "debian-13", values, io);
  io.stderr(help);
  return 2;
}
