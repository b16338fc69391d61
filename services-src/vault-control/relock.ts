import { type Command, must, run } from "./command.ts";
import { VaultError } from "./errors.ts";
import { isClosed, look, readMarker } from "./look.ts";
import type { Settings } from "./settings.ts";
import type { VaultState } from "./state-file.ts";

const STOP_LIMIT_MS = 15_000;
const SYNC_LIMIT_MS = 20_000;
const UMOUNT_LIMIT_MS = 20_000;
const CLOSE_LIMIT_MS = 20_000;
/** Mounts upon each other in the vault's place; more is nobody's mistake. */
const MAX_STACKED = 8;

export interface Locked {
  readonly state: Extract<VaultState, "locked" | "setup_required">;
  /** Units that did not stop. The vault is closed all the same: that is checked, not concluded. */
  readonly unstopped: readonly string[];
}

/**
 * Stops the vault's users in order, writes everything out, unmounts, closes the mapping, and believes only the kernel's own view of the
 * result. Every step is tried however those before it went, and may be repeated at any time: a power cut in the middle is no special case.
 * @throws VaultError VAULT_BUSY, VAULT_COMMAND, VAULT_STILL_MOUNTED, VAULT_STILL_OPEN
 */
export async function relock(settings: Settings): Promise<Locked> {
  const before = await look(settings);
  if (isClosed(before)) return { state: await closedState(settings), unstopped: [] };
  const unstopped = await stopUsers(settings);
  if (before.mounts.length > 0) await run(settings, sync(settings.mount_point));
  await unmount(settings);
  await closeMapping(settings);
  return { state: await closedState(settings), unstopped };
}

/** A marker that is broken is a vault that somebody set up. */
async function closedState({ marker }: Settings): Promise<Locked["state"]> {
  const found = await readMarker(marker).catch(() => "broken");
  return found === undefined ? "setup_required" : "locked";
}

async function stopUsers(settings: Settings): Promise<readonly string[]> {
  const unstopped: string[] = [];
  for (const unit of settings.users) {
    const { status } = await run(settings, { program: "systemctl", args: ["stop", "--", unit], limitMs: STOP_LIMIT_MS });
    // 5: there is no such unit (systemctl(1), exit status).
    if (status !== 0 && status !== 5) unstopped.push(unit);
  }
  return unstopped;
}

const sync = (path: string): Command => ({ program: "sync", args: ["-f", "--", path], limitMs: SYNC_LIMIT_MS });

async function unmount(settings: Settings): Promise<void> {
  for (let round = 0; round < MAX_STACKED; round += 1) {
    const { mounts } = await look(settings);
    if (mounts.length === 0) return;
    const command = { program: "umount", args: ["--", settings.mount_point], limitMs: UMOUNT_LIMIT_MS };
    const { status, said } = await run(settings, command);
    if (status !== 0) throw new VaultError("VAULT_BUSY", { expected: `${settings.mount_point} unmounted`, actual: said });
    if ((await look(settings)).mounts.length >= mounts.length)
      throw new VaultError("VAULT_STILL_MOUNTED", { expected: "a mount less", actual: `${mounts.length}` });
  }
  throw new VaultError("VAULT_STILL_MOUNTED", { expected: `at most ${MAX_STACKED} mounts`, actual: "more" });
}

async function closeMapping(settings: Settings): Promise<void> {
  const { mapperUuid } = await look(settings);
  if (mapperUuid === undefined) return;
  await must(settings, { program: "cryptsetup", args: ["close", "--", settings.mapper], limitMs: CLOSE_LIMIT_MS });
  if ((await look(settings)).mapperUuid !== undefined)
    throw new VaultError("VAULT_STILL_OPEN", { expected: `no mapping ${settings.mapper}`, actual: "one" });
}
