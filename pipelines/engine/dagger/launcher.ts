import { chmod, copyFile, lstat, mkdir, readlink, symlink } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { runTool } from "../../run-tool.ts";
import { exists } from "../blob-store.ts";
import { DaggerError } from "./errors.ts";

/** Where the container's programs come from: this machine's own (a few MB are sent), or an image. */
export type Launcher = { readonly kind: "host" } | { readonly kind: "image"; readonly reference: string };

/**
 * What makes the sandbox and moves trees, on the runner as here: bubblewrap and a few of coreutils. As on one machine it is not part of
 * any cache key: what a step can see is decided by the sandbox command line, whose revision is.
 */
const PROGRAMS = ["sh", "bwrap", "tar", "sha256sum", "mkdir", "chmod", "rm", "readlink"] as const;
const TOP_LINKS = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] as const;
const SYSTEM_FOLDERS = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/** @throws DaggerError DAGGER_LAUNCHER_INVALID */
export function parseLauncher(text: string | undefined): Launcher {
  if (text === undefined || text === "") return { kind: "host" };
  if (!/^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$/.test(text))
    throw new DaggerError("DAGGER_LAUNCHER_INVALID", { expected: "NAME@sha256:DIGEST", actual: "a reference without a digest" });
  return { kind: "image", reference: text };
}

/**
 * Makes a small root file system of this machine's programs and the libraries they load.
 * @throws DaggerError DAGGER_SANDBOX_UNAVAILABLE when one of them is not installed
 */
export async function makeLauncher(folder: string): Promise<void> {
  for (const name of ["usr", "proc", "dev", "tmp", "run", "etc", "secai"]) await mkdir(join(folder, name), { recursive: true });
  for (const name of TOP_LINKS) await copyTopLink(name, folder);
  const programs = await Promise.all(PROGRAMS.map(findProgram));
  const files = new Set([...programs, ...(await librariesOf(programs))]);
  for (const file of files) await copyResolved(file, folder);
}

/** bin -> usr/bin, where this machine has it so. */
async function copyTopLink(name: string, folder: string): Promise<void> {
  const stats = await lstat(`/${name}`).catch(() => undefined);
  if (stats?.isSymbolicLink() === true) await symlink(await readlink(`/${name}`), join(folder, name));
}

async function findProgram(name: string): Promise<string> {
  const folders = [...SYSTEM_FOLDERS, ...(process.env.PATH ?? "").split(delimiter).filter((path) => path.startsWith("/"))];
  for (const folder of folders) if (await exists(join(folder, name))) return join(folder, name);
  throw new DaggerError("DAGGER_SANDBOX_UNAVAILABLE", {
    expected: `${name} on this machine, to be sent to the runner`,
    actual: "not installed",
    fix: `Install it, or set SECAI_DAGGER_LAUNCHER to an image that holds ${PROGRAMS.join(", ")}.`,
  });
}

/** ldd(1) lists the loader and every library, also those of libraries. These programs are the machine's own, so running it is safe. */
async function librariesOf(programs: readonly string[]): Promise<string[]> {
  const { stdout } = await runTool("ldd", programs);
  return [...stdout.matchAll(/(?<path>\/[^\s:()]+) \(0x/g)].map((match) => match.groups?.path ?? "");
}

/** A copy at the same path, links followed; parents are made as they are named, through the top links. */
async function copyResolved(file: string, folder: string): Promise<void> {
  const target = join(folder, file);
  await mkdir(await realParent(folder, dirname(file)), { recursive: true });
  await copyFile(file, target);
  await chmod(target, 0o755);
}

/** mkdir -p fails on a link to a folder that is not there yet, such as lib64 -> usr/lib64. */
async function realParent(folder: string, parent: string): Promise<string> {
  const [, top = "", ...rest] = parent.split("/");
  const link = await readlink(join(folder, top)).catch(() => top);
  return join(folder, link, ...rest);
}
