import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sha256 } from "@secai/formats/digest";
import { parsePublicKey } from "@secai/formats/keys";
import { type LoadOptions, loadSigningKey, type SigningKey } from "@secai/sign/key-file";

/** Private keys that sign files: the release key under its fixed name, all others by role and start of their fingerprint. */
const SIGNING_KEY_FILE = /^(release|(root|release|image|channel)-[0-9a-f]{16})\.key$/;
export const RELEASE_KEY_NAME = "release.key";

/** A private key and where it lies. */
export interface HeldKey {
  readonly file: string;
  readonly key: SigningKey;
}

/**
 * Every signing key in the directory by fingerprint, release.key first. Keys of Secure Boot and of PCR policies are not among them.
 * @throws SignError for a key that others can read or that is none
 */
export async function loadHeldKeys(keysDir: string, options: LoadOptions): Promise<ReadonlyMap<Sha256, HeldKey>> {
  const files = (await readdir(keysDir)).filter((name) => SIGNING_KEY_FILE.test(name)).sort(releaseKeyFirst);
  const held = new Map<Sha256, HeldKey>();
  for (const file of files) {
    const key = await loadSigningKey(join(keysDir, file), options);
    if (!held.has(key.fingerprint)) held.set(key.fingerprint, { file, key });
  }
  return held;
}

/** Fingerprints of the signing keys whose public halves lie beside them, with the file of the private half: no private key is opened. */
export async function listKeyFiles(keysDir: string): Promise<ReadonlyMap<Sha256, string>> {
  const files = (await readdir(keysDir)).filter((name) => SIGNING_KEY_FILE.test(name)).sort(releaseKeyFirst);
  const listed = new Map<Sha256, string>();
  for (const file of files) {
    const pem = await readFile(join(keysDir, publicNameOf(file))).catch(() => undefined);
    if (pem !== undefined) listed.set(parsePublicKey(pem).fingerprint, file);
  }
  return listed;
}

/** "release.key" -> "release.pub" */
export const publicNameOf = (file: string): string => file.replace(/\.key$/, ".pub");

function releaseKeyFirst(a: string, b: string): number {
  if (a === b) return 0;
  if (a === RELEASE_KEY_NAME || b === RELEASE_KEY_NAME) return a === RELEASE_KEY_NAME ? -1 : 1;
  return a < b ? -1 : 1;
}
