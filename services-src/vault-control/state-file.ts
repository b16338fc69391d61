import { chmod, chown, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeAtomic } from "@secai/kit/files";
import type { Settings } from "./settings.ts";

/** "unlocked" is said only of exactly the vault that was set up; anything in between is an "error". */
export type VaultState = "unlocked" | "locked" | "setup_required" | "error";

const STATE_GROUP = "secure-ai-services";
export const RESULT_GROUP = "secure-ai-vault-control";

/** /run/secure-ai/vault-state: for services and people to read, never for a decision about the vault. */
export async function writeState(settings: Settings, state: VaultState, detail: string, nowMs: number): Promise<void> {
  const document = { state, timestamp: new Date(nowMs).toISOString(), detail };
  await writeForGroup(settings, settings.stateFile, `${JSON.stringify(document)}\n`, STATE_GROUP);
}

/** Mode 0640 for a group; for root alone where there is no such group. Needs CAP_CHOWN. */
export async function writeForGroup(settings: Settings, path: string, text: string, group: string): Promise<void> {
  const gid = await groupId(settings, group);
  await writeAtomic(path, text, 0o640);
  // Whatever the umask of whoever runs this.
  await chmod(path, 0o640);
  if (gid !== undefined) await chown(path, process.getuid?.() ?? 0, gid);
}

/** From /etc/group; undefined where there is no such group. */
export async function groupId({ root }: Settings, name: string): Promise<number | undefined> {
  const text = await readFile(join(root, "etc/group"), "utf8").catch(() => "");
  const line = text.split("\n").find((entry) => entry.startsWith(`${name}:`));
  const [, , gid] = line?.split(":") ?? [];
  return gid !== undefined && /^\d{1,10}$/.test(gid) ? Number(gid) : undefined;
}
