import { isAbsolute, join } from "node:path";
import { parseArgs } from "node:util";
import { writeFileAtomically } from "../engine/blob-store.ts";
import { findMirrors, proxyEnvironment } from "../fetch/mirrors.ts";
import type { CommandIo } from "../io.ts";
import { preflight } from "../preflight.ts";
import { byKind, type DebianRecipe, loadRecipeSource, recipeFile } from "../recipe/recipe.ts";
import { checkBootc, type LockFlags as Flags, updateBootc } from "./bootc-command.ts";
import { checkLock, checkLockOnMirrors, type LockProblem } from "./check-lock.ts";
import { diffLocks, formatChanges, lockChanges } from "./diff.ts";
import { loadAnyLock, loadLock, lockSoFar } from "./load.ts";
import { formatLock, lockPath } from "./lock.ts";
import { archivesOf, type UpdateOptions, updateLock } from "./update.ts";

const help = `secai lock update [RECIPE] [--mirror ARCHIVE=URL]... [--keyring FILE] [--json]
secai lock check [RECIPE] [--online] [--mirror ARCHIVE=URL]... [--keyring FILE] [--json]
secai lock diff OLD [NEW] [--json]

update  resolves the recipe against the signed archives and writes recipes/locks/ID.lock.json
check   compares the lock with the recipe; with --online, also with what the archives offer now
diff    says which packages differ between two lock files

RECIPE is an id or a file; default: debian-13. NEW defaults to the committed place of OLD's recipe.
Recipes on a container base (silverblue-42) also have images, whose signatures are checked, and RPMs. What cannot be reached stays "unresolved"
in the lock, by name; nothing is built from such a lock.

Mirrors: --mirror, else SECAI_MIRRORS="ARCHIVE=URL ...", else those of this machine's apt; last, SECAI_SNAPSHOTS="ARCHIVE=URL ...".
Registries and RPM repositories are archives as well: --mirror ghcr.io=https://mirror.example/v2/.
Proxies: http_proxy, https_proxy, no_proxy.

  --json   one JSON document on standard output

Examples:
  secai lock check
  secai lock update debian-13
  secai lock update --mirror debian=https://mirror.example/debian/
  git show HEAD:recipes/locks/debian-13.lock.json > old.lock.json && secai lock diff old.lock.json

Exit status: 0 good (diff: also when something differs), 2 the lock is not this recipe's, 3 something in it is unresolved, 1 or 3 an archive
cannot be trusted or had.
`;

const options = {
  mirror: { type: "string", multiple: true },
  keyring: { type: "string" },
  online: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

async function updateOptions(recipe: DebianRecipe, flags: Flags, io: CommandIo): Promise<UpdateOptions> {
  await preflight(["apt-get", "gpgv", "debian-archive-keyring"], { notice: (line) => io.stderr(`${line}\n`) });
  return {
    mirrors: await findMirrors(archivesOf(recipe), flags.mirror ?? [], io.env),
    proxyEnv: await proxyEnvironment(io.env),
    report: (line) => io.stderr(`${line}\n`),
    ...(flags.keyring === undefined ? {} : { keyring: flags.keyring }),
    ...(io.signal === undefined ? {} : { signal: io.signal }),
  };
}

/** Locks of recipes on a container base have commands of their own. */
async function dispatch(
  name: string,
  io: CommandIo,
  debian: (recipe: DebianRecipe) => Promise<number>,
  bootc: typeof updateBootc,
  flags: Flags,
): Promise<number> {
  const source = await loadRecipeSource(io.top, recipeFile(name));
  return await byKind(source, {
    debian: ({ recipe }) => debian(recipe),
    bootc: ({ recipe }) => bootc(recipe, flags, io),
  });
}

async function update(recipe: DebianRecipe, flags: Flags, io: CommandIo): Promise<number> {
  const path = join(io.top, lockPath(recipe.id));
  const before = await lockSoFar(loadLock(path));
  const lock = await updateLock(recipe, await updateOptions(recipe, flags, io));
  await writeFileAtomically(path, formatLock(lock));
  const changes = before === undefined ? [] : diffLocks(before, lock);
  if (flags.json === true) io.stdout(`${JSON.stringify({ schema: 1, lock: lockPath(recipe.id), changes }, null, 2)}\n`);
  else io.stdout(before === undefined ? `made ${lockPath(recipe.id)}\n` : formatChanges(changes));
  return 0;
}

async function check(recipe: DebianRecipe, flags: Flags, io: CommandIo): Promise<number> {
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
  const before = await loadAnyLock(locate(old));
  const after = await loadAnyLock(locate(young ?? lockPath(before.recipe)));
  const changes = lockChanges(before, after);
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
  const name = first ?? "debian-13";
  if (verb === "update" && second === undefined)
    return dispatch(name, io, (recipe) => update(recipe, values, io), updateBootc, values);
  if (verb === "check" && second === undefined)
    return dispatch(name, io, (recipe) => check(recipe, values, io), checkBootc, values);
  io.stderr(help);
  return 2;
}
