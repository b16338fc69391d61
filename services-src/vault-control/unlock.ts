import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { exists } from "@secai/kit/files";
import { must, run } from "./command.ts";
import { VaultError } from "./errors.ts";
import { readLatches } from "./latches.ts";
import { isExactlyOpen, look, type Marker, readMarker } from "./look.ts";
import { relock } from "./relock.ts";
import type { Settings } from "./settings.ts";

/** argon2id with 5 s of work, on a slow machine under load. */
const OPEN_LIMIT_MS = 120_000;
const MOUNT_LIMIT_MS = 30_000;
const START_LIMIT_MS = 30_000;
const OPTIONS = "rw,nodev,nosuid,noexec";

/** Users of the vault that are enabled and did not start. */
export interface Unlocked {
  readonly unstarted: readonly string[];
}

/**
 * Opens, mounts, checks that it is exactly the vault that was set up, and starts its users in the reverse order of their stopping. Whatever
 * fails before the users closes it again.
 * @throws VaultError VAULT_LATCHED, VAULT_SETUP_REQUIRED, VAULT_MARKER, VAULT_WRONG_PASSPHRASE, VAULT_COMMAND, VAULT_MOUNT_UNEXPECTED
 */
export async function unlock(settings: Settings, passphrase: Uint8Array): Promise<Unlocked> {
  await requireUnlatched(settings);
  const marker = await readMarker(settings.marker);
  if (marker === undefined) throw new VaultError("VAULT_SETUP_REQUIRED", { expected: settings.marker, actual: "nothing" });
  if (isExactlyOpen(await look(settings), settings, marker)) return { unstarted: [] };
  try {
    await openAndMount(settings, marker, passphrase);
  } catch (error) {
    await relock(settings);
    throw error;
  }
  return { unstarted: await startUsers(settings) };
}

/** @throws VaultError VAULT_LATCHED */
export async function requireUnlatched(settings: Settings): Promise<void> {
  const latches = await readLatches(settings);
  if (latches.length > 0)
    throw new VaultError("VAULT_LATCHED", { expected: "no open incident", actual: latches.slice(0, 8).join(", ") });
}

async function openAndMount(settings: Settings, marker: Marker, passphrase: Uint8Array): Promise<void> {
  await relock(settings);
  await openVolume(settings, marker.source, passphrase);
  await mountVolume(settings);
  const seen = await look(settings);
  if (!isExactlyOpen(seen, settings, marker))
    throw new VaultError("VAULT_MOUNT_UNEXPECTED", {
      expected: `volume ${marker.luks_uuid} with ${OPTIONS}`,
      actual: JSON.stringify(seen).slice(0, 256),
    });
}

/** @throws VaultError VAULT_COMMAND */
export function mountVolume(settings: Settings): Promise<void> {
  const args = ["-t", "ext4", "-o", OPTIONS, "--", `/dev/mapper/${settings.mapper}`, settings.mount_point];
  return must(settings, { program: "mount", args, limitMs: MOUNT_LIMIT_MS });
}

/** A volume in a file is opened through a loop device; this system loads that part of the kernel for nobody else. @throws VaultError VAULT_COMMAND */
async function requireLoop(settings: Settings, source: string): Promise<void> {
  const isFile = (await lstat(source).catch(() => undefined))?.isFile() === true;
  if (!isFile || (await exists(join(settings.root, "sys/module/loop")))) return;
  await must(settings, { program: "modprobe", args: ["--", "loop"], limitMs: START_LIMIT_MS });
}

/** @throws VaultError VAULT_WRONG_PASSPHRASE, VAULT_COMMAND */
export async function openVolume(settings: Settings, source: string, passphrase: Uint8Array): Promise<void> {
  await requireLoop(settings, source);
  const args = ["open", "--type", "luks2", "--tries", "1", "--key-file", "-", "--", source, settings.mapper];
  const { status, said } = await run(settings, { program: "cryptsetup", args, limitMs: OPEN_LIMIT_MS, input: passphrase });
  if (status === 0) return;
  // cryptsetup(8), return codes: 2 is a wrong passphrase.
  if (status === 2) throw new VaultError("VAULT_WRONG_PASSPHRASE", { expected: "a passphrase of the vault", actual: "another" });
  throw new VaultError("VAULT_COMMAND", { expected: "cryptsetup open to succeed", actual: `${status ?? "no status"}: ${said}` });
}

async function startUsers(settings: Settings): Promise<readonly string[]> {
  const unstarted: string[] = [];
  for (const unit of [...settings.users].reverse()) {
    const enabled = await run(settings, {
      program: "systemctl",
      args: ["is-enabled", "--quiet", "--", unit],
      limitMs: START_LIMIT_MS,
    });
    if (enabled.status !== 0) continue;
    const { status } = await run(settings, { program: "systemctl", args: ["start", "--", unit], limitMs: START_LIMIT_MS });
    if (status !== 0) unstarted.push(unit);
  }
  return unstarted;
}
