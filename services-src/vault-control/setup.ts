import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, chown, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { exists, writeAtomic } from "@secai/kit/files";
import { must } from "./command.ts";
import { VaultError } from "./errors.ts";
import { isClosed, look, type Marker } from "./look.ts";
import { relock } from "./relock.ts";
import type { Settings } from "./settings.ts";
import { groupId } from "./state-file.ts";
import { mountVolume, openVolume } from "./unlock.ts";

const FORMAT_LIMIT_MS = 300_000;
/** Memory of argon2id: opening must also succeed on a small machine under load. */
const PBKDF_KIB = "262144";
export const MIN_MIB = 32;
export const MAX_MIB = 16 << 20;

export interface NewVault {
  /** A file that does not exist yet; the volume is made in it. */
  readonly file: string;
  readonly mib: number;
  readonly nowMs: number;
}

/**
 * Makes a LUKS2 volume in a new file, a file system in it, and last the marker that says that this is the vault. Without the marker nothing
 * uses it, so a power cut leaves a file to be removed and no half vault. Nothing that exists is ever written to.
 * @throws VaultError VAULT_EXISTS, VAULT_COMMAND
 */
export async function setUp(settings: Settings, { file, mib, nowMs }: NewVault, passphrase: Uint8Array): Promise<Marker> {
  if (await exists(settings.marker)) throw new VaultError("VAULT_EXISTS", { expected: "no vault", actual: settings.marker });
  if (!isClosed(await look(settings)))
    throw new VaultError("VAULT_EXISTS", { expected: "nothing in the vault's place", actual: "something open or mounted" });
  await createFile(file, mib);
  const marker: Marker = { schema: 1, source: file, luks_uuid: randomUUID(), initialized_at: new Date(nowMs).toISOString() };
  try {
    await format(settings, marker, passphrase);
    await openVolume(settings, file, passphrase);
    await makeFileSystem(settings);
    await makeFolders(settings);
    await relock(settings);
  } catch (error) {
    await relock(settings);
    await rm(file, { force: true });
    throw error;
  }
  await writeAtomic(settings.marker, `${JSON.stringify(marker)}\n`, 0o600);
  return marker;
}

async function createFile(path: string, mib: number): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600).catch((cause: NodeJS.ErrnoException) => {
    throw new VaultError("VAULT_EXISTS", { expected: `to make ${path}`, actual: cause.code ?? "-", cause });
  });
  try {
    await file.truncate(mib * 1024 * 1024);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function format(settings: Settings, { source, luks_uuid }: Marker, passphrase: Uint8Array): Promise<void> {
  const cipher = ["--cipher", "aes-xts-plain64", "--key-size", "512", "--hash", "sha512"];
  const key = ["--pbkdf", "argon2id", "--pbkdf-memory", PBKDF_KIB, "--iter-time", "5000", "--key-file", "-"];
  const label = ["--uuid", luks_uuid, "--label", settings.mapper];
  const args = ["luksFormat", "--batch-mode", "--type", "luks2", ...cipher, ...key, ...label, "--", source];
  await must(settings, { program: "cryptsetup", args, limitMs: FORMAT_LIMIT_MS, input: passphrase });
}

async function makeFileSystem(settings: Settings): Promise<void> {
  const args = ["-q", "-L", settings.mapper, "-m", "0", "--", `/dev/mapper/${settings.mapper}`];
  await must(settings, { program: "mkfs.ext4", args, limitMs: FORMAT_LIMIT_MS });
}

/** What lies in the vault, and which group reaches it. */
const FOLDERS = [
  { name: "models", mode: 0o2770, group: "secure-ai-registry" },
  { name: "contained-models", mode: 0o2770, group: "secure-ai-registry-containment" },
  { name: "user_docs", mode: 0o2750, group: "secure-ai-vault-read" },
  { name: "outputs", mode: 0o2770, group: "secure-ai-vault-write" },
] as const;

async function makeFolders(settings: Settings): Promise<void> {
  await mountVolume(settings);
  for (const { name, mode, group } of FOLDERS) {
    const path = join(settings.mount_point, name);
    await mkdir(path, { mode: 0o700 });
    const gid = await groupId(settings, group);
    if (gid !== undefined) await chown(path, process.getuid?.() ?? 0, gid);
    // After chown(2), which clears the set-group-ID bit.
    await chmod(path, mode);
  }
}
