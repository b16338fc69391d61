import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, type FileHandle, link, lstat, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { syncDirectory } from "@secai/kit/files";
import { CliError } from "./errors.ts";

/**
 * Whether a new file can come to be there: its folder is, and nothing but a plain file would have to give way, and that only if forced.
 * @throws CliError CLI_FILE_EXISTS, CLI_FILE_UNWRITABLE
 */
export async function requireFree(path: string, isForced: boolean): Promise<void> {
  const refused = (cause: NodeJS.ErrnoException) => {
    throw unwritable(path, cause);
  };
  await access(dirname(path), constants.W_OK).catch(refused);
  const found = await lstat(path).catch((cause: NodeJS.ErrnoException) => (cause.code === "ENOENT" ? undefined : refused(cause)));
  if (found === undefined) return;
  if (!isForced) throw new CliError("CLI_FILE_EXISTS", { expected: `no file ${path}`, actual: "one" });
  if (!found.isFile()) throw new CliError("CLI_FILE_UNWRITABLE", { expected: `a plain file ${path}`, actual: "something else" });
}

/**
 * Writes a file of mode 0600 that is there whole or not at all, also after a crash; unless forced, never in place of another.
 * @throws CliError CLI_FILE_EXISTS, CLI_FILE_UNWRITABLE
 */
export async function writeNewFile(path: string, bytes: Uint8Array, isForced: boolean): Promise<void> {
  await requireFree(path, isForced);
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString("hex")}`);
  try {
    await fill(
      await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600),
      bytes,
    );
    // link(2) refuses a name that is taken, which rename(2) does not.
    await (isForced ? rename(temporary, path) : link(temporary, path));
    await rm(temporary, { force: true });
    await syncDirectory(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new CliError("CLI_FILE_EXISTS", { expected: `no file ${path}`, actual: "one", cause });
    throw unwritable(path, cause);
  }
}

async function fill(file: FileHandle, bytes: Uint8Array): Promise<void> {
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

function unwritable(path: string, cause: unknown): CliError {
  const actual = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
  return new CliError("CLI_FILE_UNWRITABLE", { expected: `to write ${path}`, actual, cause });
}
