import { join } from "node:path";
import { keyManifestBytes } from "@secai/formats/key-manifest";
import { loadSigningKey } from "@secai/sign/key-file";
import { readDeviceKeys } from "./device-keys.ts";
import { KeysError } from "./errors.ts";
import { DEVELOPMENT_WINDOWS, firstManifest } from "./first.ts";
import { commitChanges, finishChanges } from "./journal.ts";
import { type KeySet, loadKeySet } from "./key-set.ts";
import { holding } from "./lock.ts";
import { MANIFEST_NAME } from "./places.ts";
import { RELEASE_KEY_NAME } from "./private-keys.ts";
import { type SignedManifest, signManifest } from "./sign-manifest.ts";

/**
 * The keys of a directory with their manifest. A directory of development keys that has none yet gets one: version 1, in which
 * release.key is root, release, image and channel key at once.
 * @param nowMs milliseconds since 1970; a new manifest is issued then, and its keys are valid from then on
 * @throws KeysError, SignError; FormatError for a manifest that no reader accepts
 */
export async function ensureKeyManifest(keysDir: string, nowMs: number = Date.now()): Promise<KeySet> {
  const found = await loadKeySet(keysDir);
  if (found !== undefined) return requireReleaseKey(found);
  return holding(keysDir, async () => {
    await finishChanges(keysDir);
    const meanwhile = await loadKeySet(keysDir);
    if (meanwhile !== undefined) return requireReleaseKey(meanwhile);
    await commitChanges(keysDir, { write: manifestFiles(await developmentManifest(keysDir, nowMs)), remove: [] });
    return requireKeySet(await loadKeySet(keysDir), keysDir);
  });
}

async function developmentManifest(keysDir: string, nowMs: number): Promise<SignedManifest> {
  const key = await loadSigningKey(join(keysDir, RELEASE_KEY_NAME));
  const devices = await readDeviceKeys(keysDir);
  const pems = [key.publicPem];
  const keys = { root: pems, rootThreshold: 1, release: pems, devices, signatures: "classical" } as const;
  return signManifest(keyManifestBytes(firstManifest(keys, nowMs, DEVELOPMENT_WINDOWS)), [key]);
}

/** A current manifest and its signatures as files of a keys directory: all public. */
export function manifestFiles({ bytes, bundles }: SignedManifest) {
  const files = [[MANIFEST_NAME, bytes] as const, ...bundles];
  return new Map(files.map(([name, content]) => [name, { content, mode: 0o644 }] as const));
}

/** @throws KeysError KEY_SET_INCOMPLETE */
export function requireKeySet(found: KeySet | undefined, keysDir: string): KeySet {
  if (found === undefined)
    throw new KeysError("KEY_SET_INCOMPLETE", { expected: `${MANIFEST_NAME} in ${keysDir}`, actual: "no such file" });
  return found;
}

/** What signs must be what the manifest names: a key that was exchanged by hand would make releases that nobody accepts. */
function requireReleaseKey(keys: KeySet): KeySet {
  const own = [...keys.held.values()].find(({ file }) => file === RELEASE_KEY_NAME);
  if (own !== undefined && !keys.manifest.roles.release.keys.includes(own.key.fingerprint))
    throw new KeysError("KEY_SET_DISAGREES", {
      expected: `${RELEASE_KEY_NAME} with a fingerprint of role release in ${MANIFEST_NAME}`,
      actual: own.key.fingerprint,
    });
  return keys;
}
