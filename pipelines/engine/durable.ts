import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { syncDirectory, syncFile } from "./blob-store.ts";

const run = promisify(execFile);

/** Flushes a tree to the disk: a folder with a few files one by one, anything larger with one syncfs(2). */
export async function flushTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true });
  if (entries.some((entry) => !entry.isFile())) {
    await run("sync", ["--file-system", directory]);
    return;
  }
  await Promise.all(entries.map((entry) => syncFile(join(directory, entry.name))));
  await syncDirectory(directory);
}
