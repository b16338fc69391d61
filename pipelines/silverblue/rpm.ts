import { spawnSync } from "node:child_process";
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { SilverblueError } from "./errors.ts";
import { type LockedRpm, nevra } from "./transaction.ts";

const MAX_OUTPUT_BYTES = 256 << 20;
/** Where an ostree system keeps its RPM database, then where others do. */
const DATABASES = ["usr/share/rpm", "usr/lib/sysimage/rpm"] as const;

/** The database's folder in a root, without a leading slash. @throws SilverblueError TRANSACTION_DIFFERS when there is none */
export function databaseOf(root: string): string {
  const found = DATABASES.find((path) => lstatSync(join(root, path), { throwIfNoEntry: false })?.isDirectory() === true);
  if (found === undefined)
    throw new SilverblueError("TRANSACTION_DIFFERS", {
      expected: `an RPM database in ${DATABASES.join(" or ")}`,
      actual: "none",
    });
  return found;
}

export interface RpmResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * What Debian's rpm has other values for: scripts and lists of users pass through /tmp, which is writable in a sandbox and in the root, and
 * the users that packages bring are made by systemd-sysusers, which takes its dates from SOURCE_DATE_EPOCH.
 */
const MACROS = ["_tmppath /tmp", "__systemd_sysusers /usr/bin/systemd-sysusers"].flatMap((macro) => ["--define", macro]);

/** Runs rpm of the tool root on a root tree; its messages go to the step's log as well. */
export function rpm(root: string, database: string, args: readonly string[]): RpmResult {
  const base = ["--root", root, "--dbpath", `/${database}`, "--noplugins", ...MACROS];
  const result = spawnSync("rpm", [...base, ...args], {
    encoding: "utf8",
    maxBuffer: MAX_OUTPUT_BYTES,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (result.error !== undefined) throw result.error;
  process.stderr.write(result.stderr);
  return { status: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
}

const failed = (what: string, { stderr }: RpmResult): SilverblueError =>
  new SilverblueError(/Failed dependencies/.test(stderr) ? "RPM_DEPENDENCY_MISSING" : "RPM_FAILED", {
    expected: what,
    actual: stderr
      .trim()
      .replace(/\s*\n\s*/g, "; ")
      .slice(0, 1500),
  });

const NEVRA_FORMAT = "%{EPOCHNUM}:%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\n";

/** What a database or a package file holds, as "EPOCH:NAME-VERSION-RELEASE.ARCH"; the vendor's keys, which rpm keeps as packages, are none. */
export function installed(root: string, database: string): ReadonlySet<string> {
  const result = rpm(root, database, ["-qa", "--qf", NEVRA_FORMAT]);
  if (result.status !== 0) throw failed("the database's packages", result);
  return new Set(result.stdout.split("\n").filter((line) => line !== "" && !line.includes(":gpg-pubkey-")));
}

/** Absolute paths of every file that a package lists. */
export function ownedPaths(root: string, database: string): ReadonlySet<string> {
  const result = rpm(root, database, ["-qa", "--qf", "[%{FILENAMES}\n]"]);
  if (result.status !== 0) throw failed("the database's files", result);
  return new Set(result.stdout.split("\n"));
}

/** Asks package files themselves; nothing of the root is read. */
function queryFiles(files: readonly string[], format: string): string {
  const result = spawnSync("rpm", ["--dbpath", "/tmp/no-database", "--nosignature", "-qp", "--qf", format, ...files], {
    encoding: "utf8",
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  if (result.status !== 0) throw failed("package files that rpm can read", { ...result, status: result.status ?? 128 });
  return result.stdout;
}

/** Each file is the package that the lock says it is. @throws SilverblueError RPM_NEVRA_DIFFERS */
export function checkNames(folder: string, install: readonly LockedRpm[]): void {
  for (const locked of install) {
    const actual = queryFiles([join(folder, locked.file)], NEVRA_FORMAT).trim();
    if (actual !== nevra(locked))
      throw new SilverblueError("RPM_NEVRA_DIFFERS", { expected: `${nevra(locked)} in ${locked.file}`, actual });
  }
}

const SCRIPTS = ["PREIN", "POSTIN", "PRETRANS", "POSTTRANS"].map((tag) => `%|${tag}PROG?{[%{${tag}PROG} ]}|`).join(" ");
const TRIGGERS = "[%{TRIGGERSCRIPTPROG} ][%{FILETRIGGERSCRIPTPROG} ][%{TRANSFILETRIGGERSCRIPTPROG} ]";

/**
 * Scripts run inside the root, by the interpreters of the root. One that it lacks would fail halfway through the transaction.
 * @throws SilverblueError RPM_SCRIPT_REFUSED
 */
export function checkInterpreters(folder: string, root: string, install: readonly LockedRpm[]): void {
  for (const { file } of install) {
    const programs = queryFiles([join(folder, file)], `${SCRIPTS} ${TRIGGERS}`).split(/\s+/);
    const missing = programs.find(
      (program) => program.startsWith("/") && !existsIn(root, program) && !broughtBy(folder, install, program),
    );
    if (missing !== undefined)
      throw new SilverblueError("RPM_SCRIPT_REFUSED", {
        expected: `${missing} for the scripts of ${file}`,
        actual: "not in the root",
      });
  }
}

/** Follows merged-/usr links, and only inside the root. */
function existsIn(root: string, path: string): boolean {
  const merged = path.replace(/^\/(bin|sbin|lib|lib64)\//, "/usr/$1/");
  return [path, merged, merged.replace("/usr/sbin/", "/usr/bin/")].some(
    (one) => lstatSync(join(root, one), { throwIfNoEntry: false }) !== undefined,
  );
}

function broughtBy(folder: string, install: readonly LockedRpm[], path: string): boolean {
  const files = install.map(({ file }) => join(folder, file));
  return queryFiles(files, "[%{FILENAMES}\n]").split("\n").includes(path);
}

/** A script that fails after its package's files are in place is only a warning to rpm. */
const SCRIPT_FAILED = /scriptlet failed|script failed/;

/** Installs and upgrades, all in one transaction. @throws SilverblueError RPM_DEPENDENCY_MISSING, RPM_FAILED */
export function installAll(root: string, database: string, folder: string, install: readonly LockedRpm[]): void {
  if (install.length === 0) return;
  const files = install.map(({ file }) => join(folder, file)).sort();
  // The files have the lock's digests; their signatures were checked when the lock was made, and this rpm has no vendor's keys.
  const result = rpm(root, database, ["--upgrade", "--oldpackage", "--nosignature", ...files]);
  if (result.status !== 0 || SCRIPT_FAILED.test(result.stderr)) throw failed("the packages of the lock installed", result);
}

/** @throws SilverblueError REMOVED_PRESENT for a name that the base does not have, RPM_DEPENDENCY_MISSING, RPM_FAILED */
export function removeAll(root: string, database: string, remove: readonly string[]): void {
  if (remove.length === 0) return;
  const result = rpm(root, database, ["--erase", "--allmatches", ...[...remove].sort()]);
  if (result.status !== 0 || SCRIPT_FAILED.test(result.stderr)) throw failed("the packages of the recipe removed", result);
}

/** Neither a package of that name nor one that provides it, nor a command on any PATH. @throws SilverblueError REMOVED_PRESENT */
export function checkAbsent(root: string, database: string, packages: readonly string[], commands: readonly string[]): void {
  const present = (actual: string) =>
    new SilverblueError("REMOVED_PRESENT", { expected: "what the recipe removes to be absent", actual });
  for (const name of packages) {
    const result = rpm(root, database, ["-q", "--whatprovides", name, "--qf", "%{NAME} "]);
    if (result.status === 0) throw present(`${name}, by package ${result.stdout.trim()}`);
  }
  for (const folder of ["usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin"])
    for (const command of commands)
      if (lstatSync(join(root, folder, command), { throwIfNoEntry: false }) !== undefined) throw present(`/${folder}/${command}`);
}

/** Locks and write-ahead logs that rpm leaves beside its database. */
export function tidyDatabase(root: string, database: string): void {
  const folder = join(root, database);
  for (const file of readdirSync(folder))
    if (/^(\.rpm\.lock|\.dbenv\.lock|__db\.\d+|.*-(shm|wal))$/.test(file)) rmSync(join(folder, file));
}
