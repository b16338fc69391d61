import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { link, lstat, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { KitError } from "./errors.ts";
import { exists, readCredential, syncDirectory, writeAtomic } from "./files.ts";
import { createSigner, keyIdOf, readPublicKey } from "./signing.ts";

/**
 * Makes a credential that is absent; leaves one that is there alone, whatever it holds: an altered one is refused, never repaired. Temp
 * file and hard link: nothing is overwritten, and no name ever stands for half a secret.
 * @throws KitError CREDENTIAL_MALFORMED
 */
export async function ensureCredential(directory: string, name: string): Promise<"created" | "kept"> {
  const path = join(directory, name);
  if (await exists(path)) {
    await readCredential(path);
    return "kept";
  }
  const temporary = join(directory, `.${name}.new`);
  await rm(temporary, { force: true });
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    await file.writeFile(`${randomBytes(32).toString("hex")}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await link(temporary, path);
  await rm(temporary);
  await syncDirectory(directory);
  return "created";
}

/**
 * Writes the public half of a signing key beside its seed, or checks the one that is there.
 * @throws KitError CREDENTIAL_MALFORMED, PUBLIC_KEY_MALFORMED; PUBLIC_KEY_MISMATCH for the half of another key
 */
export async function ensurePublicKey(directory: string, seedName: string, name: string): Promise<"created" | "kept"> {
  const path = join(directory, name);
  const signer = createSigner(await readCredential(join(directory, seedName)));
  if (await exists(path)) {
    const actual = keyIdOf(await readPublicKey(path));
    if (actual === signer.keyId) return "kept";
    throw new KitError("PUBLIC_KEY_MISMATCH", { expected: `${path} of key ${signer.keyId}`, actual });
  }
  await writeAtomic(path, signer.publicKey(), 0o644);
  return "created";
}

/** @throws KitError CREDENTIAL_MALFORMED if anybody but its owner could look into the directory */
export async function requirePrivateDirectory(directory: string): Promise<void> {
  const { mode, uid } = await lstat(directory);
  const isPrivate = (mode & constants.S_IFMT) === constants.S_IFDIR && (mode & 0o777) === 0o700 && uid === process.getuid?.();
  if (!isPrivate)
    throw new KitError("CREDENTIAL_MALFORMED", {
      expected: `${directory}: our own directory, mode 0700`,
      actual: `mode 0${mode.toString(8)}`,
    });
}

/** Block devices that are looked at on the way down; a stack deeper than this is not one of ours. */
const MAX_DEVICES = 64;

export interface BlockDevices {
  /** "253:0": the device a path lies on. */
  deviceOf(path: string): Promise<string>;
  /** The device-mapper UUID of a device, "" if it has none. */
  mapperUuid(device: string): Promise<string>;
  /** The devices that this one is made of. */
  slaves(device: string): Promise<readonly string[]>;
}

/**
 * Refuses a directory that does not lie on a LUKS volume: every device below its file system must be one, or be made only of such.
 * @throws KitError CREDENTIAL_STORE_UNENCRYPTED
 */
export async function requireLuks(directory: string, devices: BlockDevices): Promise<void> {
  const waiting = [await devices.deviceOf(directory)];
  for (let seen = 0; waiting.length > 0; seen += 1) {
    const device = waiting.pop() ?? "";
    if (seen >= MAX_DEVICES) throw unencrypted(`at most ${MAX_DEVICES} devices`, "more");
    if (/^CRYPT-LUKS[12]-/.test(await devices.mapperUuid(device))) continue;
    const slaves = await devices.slaves(device);
    if (slaves.length === 0) throw unencrypted(`${directory} on LUKS`, `device ${device}`);
    waiting.push(...slaves);
  }
}

function unencrypted(expected: string, actual: string): KitError {
  return new KitError("CREDENTIAL_STORE_UNENCRYPTED", { expected, actual });
}

/** The kernel's own view, from sysfs. */
export const kernelBlockDevices: BlockDevices = {
  async deviceOf(path) {
    const { dev } = await stat(path, { bigint: true });
    // Linux packs major and minor into dev_t as glibc's gnu_dev_major(3) and gnu_dev_minor(3) unpack them.
    const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
    const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
    return `${major}:${minor}`;
  },
  async mapperUuid(device) {
    return readFile(`/sys/dev/block/${device}/dm/uuid`, "latin1").catch(absentAs(""));
  },
  async slaves(device) {
    const names = await readdir(`/sys/dev/block/${device}/slaves`).catch(absentAs([]));
    return Promise.all(names.map(async (name) => (await readFile(`/sys/class/block/${name}/dev`, "latin1")).trim()));
  },
};

function absentAs<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === "ENOENT") return value;
    throw error;
  };
}
