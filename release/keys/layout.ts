import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type KeyManifest, SIGNING_ROLES } from "@secai/formats/key-manifest";
import { encryptKey } from "@secai/sign/encrypted-key";
import type { SigningKey } from "@secai/sign/key-file";
import type { Change } from "./change.ts";
import { manifestFiles } from "./ensure.ts";
import type { FileChanges } from "./journal.ts";
import type { KeySet } from "./key-set.ts";
import { HISTORY, historyName, MANIFEST_NAME, tagOf } from "./places.ts";
import { publicNameOf, RELEASE_KEY_NAME } from "./private-keys.ts";

type Content = { readonly content: string | Uint8Array; readonly mode: 0o600 | 0o644 };

/**
 * A change as files: the new manifest with its signatures, the old one and all that is not used any more in history/, every signing key
 * under the name of its role. release.key is always the P-256 key that signs releases.
 * @param set what the directory holds, without the manifest when it is the first
 * @param passphrase new private keys are encrypted under it; undefined: not encrypted
 */
export async function filesOf(
  set: Pick<KeySet, "dir" | "held"> & Partial<KeySet>,
  change: Change,
  passphrase?: Uint8Array,
): Promise<FileChanges> {
  const write = new Map<string, Content>(manifestFiles(change.signed));
  const remove: string[] = [];
  keepOldManifest(set, write, remove);
  await placeHeldKeys(set, change, write, remove);
  for (const key of change.made) {
    const file = fileOf(change, key);
    write.set(file, { content: await privateContent(key, passphrase), mode: 0o600 });
    write.set(publicNameOf(file), { content: key.publicPem, mode: 0o644 });
  }
  await placeDeviceKeys(set, change, write);
  return { write, remove: remove.filter((name) => !write.has(name)) };
}

function keepOldManifest({ links, manifest }: Partial<KeySet>, write: Map<string, Content>, remove: string[]): void {
  const old = links?.at(-1);
  if (old === undefined || manifest === undefined) return;
  for (const { name, bytes } of [old, ...old.bundles]) {
    const file = name.slice("keys/".length);
    write.set(file.replace(MANIFEST_NAME, historyName(manifest.version)), { content: bytes, mode: 0o644 });
    remove.push(file);
  }
}

async function placeHeldKeys(
  { dir, held }: Pick<KeySet, "dir" | "held">,
  change: Change,
  write: Map<string, Content>,
  remove: string[],
) {
  for (const { file, key } of held.values()) {
    const next = fileOf(change, key);
    if (next === file) continue;
    write.set(next, { content: await readFile(join(dir, file)), mode: 0o600 });
    write.set(publicNameOf(next), { content: key.publicPem, mode: 0o644 });
    remove.push(file, publicNameOf(file));
  }
}

async function placeDeviceKeys(
  { dir, manifest }: Partial<KeySet>,
  { devices }: Change,
  write: Map<string, Content>,
): Promise<void> {
  for (const [name, content] of devices) {
    const old = join(dir ?? "", name);
    if (existsSync(old)) write.set(`${HISTORY}/${manifest?.version ?? 0}-${name}`, { content: await readFile(old), mode: 0o600 });
    write.set(name, content);
  }
}

/** Where a signing key belongs under the next manifest. */
export function fileOf({ manifest }: Change, { fingerprint, algorithm }: SigningKey): string {
  const role = SIGNING_ROLES.find((one) => manifest.roles[one].keys.includes(fingerprint));
  if (role === undefined) return `${HISTORY}/${tagOf(fingerprint)}.key`;
  if (algorithm === "ecdsa-p256" && fingerprint === firstRelease(manifest)) return RELEASE_KEY_NAME;
  return `${role}-${tagOf(fingerprint)}.key`;
}

const firstRelease = ({ keys, roles }: KeyManifest): string | undefined =>
  roles.release.keys.find((fingerprint) => keys[fingerprint]?.algorithm === "ecdsa-p256");

async function privateContent({ privateKey }: SigningKey, passphrase: Uint8Array | undefined): Promise<string> {
  if (passphrase === undefined) return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return encryptKey(privateKey.export({ type: "pkcs8", format: "der" }), passphrase);
}
