import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, link, lstat, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Where the content of a release file comes from. */
export type Source = { readonly path: string } | { readonly content: string | Uint8Array };

export interface PlaceOptions {
  /**
   * Hard links instead of copies, where the file system can. Saves space and time, but what changes the release file then changes its
   * source too: only for sources that nobody writes to, such as a content store.
   */
  readonly link: boolean;
}

/** Puts one file at `name` below `dir`, readable by all and writable by its owner. */
export async function placeFile(dir: string, name: string, source: Source, { link: linking }: PlaceOptions): Promise<void> {
  const target = join(dir, name);
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  if ("content" in source) {
    await writeFile(target, source.content, { flag: "wx", mode: 0o644 });
    return;
  }
  if (linking && (await tryLink(source.path, target))) return;
  await copyFile(source.path, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await chmod(target, 0o644);
}

/** False where a link cannot be: on another file system, or when the source is not a plain file itself. */
async function tryLink(from: string, to: string): Promise<boolean> {
  if (!(await lstat(from)).isFile()) return false;
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (["EXDEV", "EPERM", "EMLINK", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

/**
 * Lets `fill` build a directory beside `out` and puts it in place of `out` when it is done, so that nobody sees it half-made. If `fill`
 * throws, `out` is untouched. A directory that was there before is set aside first and comes back if the exchange fails.
 */
export async function buildInPlaceOf<T>(out: string, fill: (dir: string) => Promise<T>): Promise<T> {
  const parent = dirname(out);
  await mkdir(parent, { recursive: true });
  await clearAfterKilled(out);
  const partial = await mkdtemp(join(parent, `.${basename(out)}.partial-${process.pid}-`));
  try {
    await chmod(partial, 0o755);
    const result = await fill(partial);
    await exchange(partial, out);
    return result;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/**
 * What a process left behind that was killed here: a half-made directory goes; the old one that it had set aside comes back if nothing took
 * its place. Names carry the process, so that those who still work are left alone.
 */
async function clearAfterKilled(out: string): Promise<void> {
  const prefix = `.${basename(out)}.`;
  for (const name of await readdir(dirname(out))) {
    const [, kind, pid] = (name.startsWith(prefix) && /^(partial|old)-([0-9]+)-/.exec(name.slice(prefix.length))) || [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const path = join(dirname(out), name);
    const isBack = kind === "old" && !(await exists(out)) && (await renameIfThere(path, out));
    if (!isBack) await rm(path, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

const exists = (path: string) =>
  lstat(path).then(
    () => true,
    () => false,
  );

async function exchange(made: string, out: string): Promise<void> {
  const aside = join(dirname(out), `.${basename(out)}.old-${process.pid}-${randomUUID()}`);
  const hadOld = await renameIfThere(out, aside);
  try {
    await rename(made, out);
  } catch (error) {
    if (hadOld) await rename(aside, out);
    throw error;
  }
  if (hadOld) await rm(aside, { recursive: true });
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
