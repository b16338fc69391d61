import { execFile } from "node:child_process";
import { copyFile, lstat, mkdir, readlink, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What the fixture's scripts call; shell builtins need no file. */
const PROGRAMS =
  "sh dash bash cat chmod chown cp cut dirname env grep id ldd ln ls mkdir mount mv readlink sed seq sha256sum sleep sort stat touch uname wc";

/** A small tree with this machine's shell and coreutils, for engines that do not run on this machine. */
export async function makeHostTools(folder: string): Promise<void> {
  for (const name of ["usr/bin", "etc", "var"]) await mkdir(join(folder, name), { recursive: true });
  for (const name of ["bin", "sbin", "lib", "lib64"])
    if ((await lstat(`/${name}`).catch(() => undefined))?.isSymbolicLink() === true)
      await symlink(await readlink(`/${name}`), join(folder, name));
  const programs = PROGRAMS.split(" ").map((name) => `/usr/bin/${name}`);
  const binaries = programs.filter((path) => !path.endsWith("/ldd"));
  const { stdout } = await run("ldd", binaries);
  const libraries = [...stdout.matchAll(/(?<path>\/[^\s:()]+) \(0x/g)].map((match) => match.groups?.path ?? "");
  for (const file of new Set([...programs, ...libraries])) {
    const target = join(folder, file.startsWith("/usr/") ? file : `/usr${file}`);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(file, target);
  }
}
