import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { RELEASE_KEY_FILE } from "@secai/formats/release-layout";
import type { SigningKey } from "@secai/sign/key-file";
import { ReleaseError } from "./errors.ts";
import { ensureKeyManifest } from "./keys/ensure.ts";
import { type KeySet, releaseFilesOf, signersFor } from "./keys/key-set.ts";

/** Who signs a release: the keys at hand, by role, and the manifest that gives them their role. */
export interface Signers {
  readonly keySet: KeySet;
  /** At least one; the first writes `<file>.sigstore.json`, the others beside it. */
  readonly release: readonly [SigningKey, ...SigningKey[]];
  readonly channel: readonly [SigningKey, ...SigningKey[]];
}

/** @throws ReleaseError SIGNER_MISSING; KeysError, SignError, FormatError */
export async function openSigners(keysDir: string): Promise<Signers> {
  const found = await stat(keysDir).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new ReleaseError("SIGNER_MISSING", { expected: `keys in ${keysDir}`, actual: "no such directory" });
  const keySet = await ensureKeyManifest(keysDir);
  return { keySet, release: atLeastOne(keySet, "release"), channel: atLeastOne(keySet, "channel") };
}

function atLeastOne(keySet: KeySet, role: "release" | "channel"): readonly [SigningKey, ...SigningKey[]] {
  const [first, ...others] = signersFor(keySet, role, Date.now());
  if (first !== undefined) return [first, ...others];
  throw new ReleaseError("SIGNER_MISSING", { expected: `a valid private key of role ${role} in ${keySet.dir}`, actual: "none" });
}

/** Writes what a release shows of its keys: the manifests with their signatures, and the first signer's public half. */
export async function placeKeyFiles(dir: string, { keySet, release }: Signers): Promise<void> {
  const files = { ...releaseFilesOf(keySet), [RELEASE_KEY_FILE]: Buffer.from(release[0].publicPem) };
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true, mode: 0o755 });
    await writeFile(join(dir, name), content, { flag: "wx", mode: 0o644 });
  }
}
