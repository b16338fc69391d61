import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { IncidentId } from "@secai/kit/api/containment";
import { syncDirectory, writeAtomic } from "@secai/kit/files";
import type { Settings } from "./settings.ts";

const NAME = new RegExp(IncidentId.pattern ?? "^$");

/** An id that is also a file name of its own: "." and ".." are not, and writeAtomic's and our own temporary names cannot be made. */
export const isIncidentId = (text: string): boolean => NAME.test(text) && !text.startsWith(".") && !text.endsWith(".new");

/** Incidents that keep the vault closed, sorted. What cannot be read as one keeps it closed, too. */
export async function readLatches({ latches }: Settings): Promise<readonly string[]> {
  const names = await readdir(latches).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return names.filter((name) => !name.endsWith(".new")).sort();
}

export async function latch({ latches }: Settings, incident: string, nowMs: number): Promise<void> {
  await mkdir(latches, { recursive: true, mode: 0o700 });
  await writeAtomic(join(latches, incident), `${new Date(nowMs).toISOString()}\n`, 0o600);
}

export async function unlatch({ latches }: Settings, incident: string): Promise<void> {
  await mkdir(latches, { recursive: true, mode: 0o700 });
  await rm(join(latches, incident), { force: true });
  await syncDirectory(latches);
}
