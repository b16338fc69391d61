import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Machine } from "./machine.ts";
import { printable } from "./outcome.ts";

/** Folders of /dev with nothing but GPU nodes, and names that GPU nodes have in /dev itself. */
const FOLDERS = ["dri", "accel", "nvidia-caps"];
const OWN = /^(nvidia.*|kfd|card\d+|renderD\d+)$/;
const MAX_NODES = 256;

/** Device nodes through which programs reach a GPU, sorted. */
export async function readDeviceNodes({ root }: Machine): Promise<readonly string[]> {
  const top = await entries(join(root, "dev"));
  const own = top.filter(({ name, isFolder }) => OWN.test(name) && !isFolder).map(({ name }) => name);
  const below = await Promise.all(
    FOLDERS.map(async (folder) =>
      (await entries(join(root, "dev", folder))).filter(({ isFolder }) => !isFolder).map(({ name }) => `${folder}/${name}`),
    ),
  );
  return [...own, ...below.flat()]
    .map((name) => printable(`/dev/${name}`).slice(0, 255))
    .sort()
    .slice(0, MAX_NODES);
}

async function entries(folder: string): Promise<readonly { readonly name: string; readonly isFolder: boolean }[]> {
  const found = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return found.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
}
