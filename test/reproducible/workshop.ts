import { spawnSync } from "node:child_process";
import { cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { defaultKeysDirectory } from "../../attest/formats/keys.ts";
import { cacheDirectory } from "../../pipelines/engine/command.ts";
import { repositoryFiles, top } from "../../scripts/house/tree.ts";
import { VmError } from "../vm/errors.ts";

/** Another place to build in: a copy of the checkout with a cache of its own, gone afterwards. The real checkout is never written. */
export interface Workshop {
  readonly dir: string;
  /** The copy's top. */
  readonly checkout: string;
  readonly cacheDir: string;
  /** Environment of programs that build here. The keys are the user's own: other keys make another image. */
  readonly env: NodeJS.ProcessEnv;
}

/** What the new cache starts with: nothing but fetched files, or everything that the user's cache has. */
export type Start = "fetched" | "everything";

/** @throws VmError HARNESS_TOOL_FAILED */
export function createWorkshop(start: Start, env: NodeJS.ProcessEnv = {}): Workshop {
  const own = cacheDirectory(process.env);
  mkdirSync(own, { recursive: true });
  // Beside the cache: hard links do not reach across file systems.
  const dir = mkdtempSync(join(dirname(own), "secai-workshop-"));
  const cacheDir = join(dir, "cache");
  const checkout = join(dir, "elsewhere", "checkout");
  const home = join(dir, "home");
  try {
    for (const folder of [checkout, cacheDir, home]) mkdirSync(folder, { recursive: true });
    copyCheckout(checkout);
    for (const name of start === "fetched" ? ["blobs"] : ["blobs", "steps", "sources"])
      if (existsSync(join(own, name))) linkTree(join(own, name), join(cacheDir, name));
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
  const keys = { SECAI_KEYS: defaultKeysDirectory(process.env), SECAI_CACHE: cacheDir };
  return { dir, checkout, cacheDir, env: { ...process.env, HOME: home, ...keys, ...env } };
}

export function removeWorkshop({ dir }: Workshop): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 });
}

/** What git tracks or would track, as it is now, and the installed packages. */
function copyCheckout(target: string): void {
  for (const path of repositoryFiles()) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    cpSync(join(top, path), join(target, path), { verbatimSymlinks: true });
  }
  linkTree(join(top, "node_modules"), join(target, "node_modules"));
}

/** A copy that shares the files' contents where the file system can. @throws VmError HARNESS_TOOL_FAILED */
export function linkTree(from: string, to: string): void {
  if (spawnSync("cp", ["--archive", "--link", from, to], { stdio: "ignore" }).status === 0) return;
  rmSync(to, { recursive: true, force: true });
  copyTree(from, to);
}

/** @throws VmError HARNESS_TOOL_FAILED */
export function copyTree(from: string, to: string): void {
  const { status, stderr } = spawnSync("cp", ["--archive", "--reflink=auto", from, to], { encoding: "utf8" });
  if (status !== 0)
    throw new VmError("HARNESS_TOOL_FAILED", { expected: `a copy of ${from}`, actual: stderr.trim().slice(-300) });
}

/** Replaces the first `from` in a file of the copy. @throws VmError HARNESS_TOOL_FAILED when `from` is not in it */
export function changeFile({ checkout }: Workshop, path: string, from: string, to: string): void {
  const full = join(checkout, path);
  const text = readFileSync(full, "utf8");
  const { mode } = lstatSync(full);
  if (!text.includes(from))
    throw new VmError("HARNESS_TOOL_FAILED", { expected: `${JSON.stringify(from)} in ${path}`, actual: "none" });
  writeFileSync(full, text.replace(from, to), { mode });
}
