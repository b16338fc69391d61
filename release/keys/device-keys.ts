import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";
import { fingerprintOf } from "@secai/formats/keys";
import { KeysError } from "./errors.ts";
import type { FileChanges } from "./journal.ts";

/** Public keys in PEM that firmware and TPM check: the platform key, key exchange key and signature database, and the PCR policy key. */
export interface DeviceKeys {
  readonly "secure-boot": readonly string[];
  readonly pcr: readonly string[];
}

const CERTIFIED = ["PK", "KEK", "db"] as const;
const PCR_KEY = "pcr";

/** @throws KeysError KEY_SET_INCOMPLETE */
export async function readDeviceKeys(keysDir: string): Promise<DeviceKeys> {
  const certified = CERTIFIED.map((name) => readKey(keysDir, `${name}.crt`, certificateKey));
  return {
    "secure-boot": (await Promise.all(certified)).map(pemOf),
    pcr: [pemOf(await readKey(keysDir, `${PCR_KEY}.pub`, createPublicKey))],
  };
}

const certificateKey = (text: string) => new X509Certificate(text).publicKey;
const pemOf = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }).toString();

async function readKey(dir: string, name: string, read: (text: string) => KeyObject): Promise<KeyObject> {
  try {
    return read(await readFile(join(dir, name), "utf8"));
  } catch (cause) {
    throw new KeysError("KEY_SET_INCOMPLETE", {
      expected: `a key in ${join(dir, name)}`,
      actual: (cause as Error).message,
      cause,
    });
  }
}

/** Keys that take the place of those in the directory, and their files. */
export interface NewDeviceKeys {
  readonly pems: readonly string[];
  readonly fingerprints: readonly Sha256[];
  readonly files: FileChanges["write"];
}

/**
 * A new PCR policy key, or the Secure Boot keys that lie in `from`: certificates are made by other tools.
 * @throws KeysError KEYS_USAGE, KEY_SET_INCOMPLETE, KEY_SET_DISAGREES
 */
export async function newDeviceKeys(role: "secure-boot" | "pcr", from: string | undefined): Promise<NewDeviceKeys> {
  if (role === "pcr" && from === undefined) return newPcrKey();
  if (from === undefined)
    throw new KeysError("KEYS_USAGE", { expected: "--from DIR with new PK, KEK and db (.key and .crt)", actual: "no --from" });
  const names = role === "pcr" ? [PCR_KEY] : CERTIFIED;
  const files = new Map<string, { content: string; mode: 0o600 | 0o644 }>();
  const keys: KeyObject[] = [];
  for (const name of names) {
    const publicName = role === "pcr" ? `${name}.pub` : `${name}.crt`;
    keys.push(await requirePair(from, name, publicName));
    files.set(`${name}.key`, { content: await readFile(join(from, `${name}.key`), "utf8"), mode: 0o600 });
    files.set(publicName, { content: await readFile(join(from, publicName), "utf8"), mode: 0o644 });
  }
  return { pems: keys.map(pemOf), fingerprints: keys.map(fingerprintOf), files };
}

/** A private key that does not belong to its public half would sign images that nothing boots. */
async function requirePair(dir: string, name: string, publicName: string): Promise<KeyObject> {
  const shown = await readKey(dir, publicName, publicName.endsWith(".crt") ? certificateKey : createPublicKey);
  const own = createPublicKey(await readKey(dir, `${name}.key`, createPrivateKey));
  if (!own.equals(shown))
    throw new KeysError("KEY_SET_DISAGREES", {
      expected: `${name}.key to belong to ${publicName}`,
      actual: `another key in ${dir}`,
    });
  return shown;
}

function newPcrKey(): NewDeviceKeys {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const files = new Map([
    [`${PCR_KEY}.key`, { content: privateKey.export({ type: "pkcs8", format: "pem" }).toString(), mode: 0o600 }],
    [`${PCR_KEY}.pub`, { content: pemOf(publicKey), mode: 0o644 }],
  ] as const);
  return { pems: [pemOf(publicKey)], fingerprints: [fingerprintOf(publicKey)], files };
}
