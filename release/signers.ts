import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { OCI_INDEX_FILE, RELEASE_KEY_FILE } from "@secai/formats/release-layout";
import type { SigningKey } from "@secai/sign/key-file";
import { keySigner } from "@secai/sign/signer";
import { ReleaseError } from "./errors.ts";
import { ensureKeyManifest } from "./keys/ensure.ts";
import { type KeySet, releaseFilesOf, signersFor } from "./keys/key-set.ts";
import { signOciLayout } from "./oci-sign/sign-layout.ts";

/** Who signs a release: the keys at hand, by role, and the manifest that gives them their role. */
export interface Signers {
  readonly keySet: KeySet;
  /** At least one; the first writes `<file>.sigstore.json`, the others beside it. */
  readonly release: readonly [SigningKey, ...SigningKey[]];
  readonly channel: readonly [SigningKey, ...SigningKey[]];
  /** Who signs the OCI image itself; may be nobody. */
  readonly image: readonly SigningKey[];
}

/** @throws ReleaseError SIGNER_MISSING; KeysError, SignError, FormatError */
export async function openSigners(keysDir: string): Promise<Signers> {
  const found = await stat(keysDir).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new ReleaseError("SIGNER_MISSING", { expected: `keys in ${keysDir}`, actual: "no such directory" });
  const keySet = await ensureKeyManifest(keysDir);
  return {
    keySet,
    release: atLeastOne(keySet, "release"),
    channel: atLeastOne(keySet, "channel"),
    image: signersFor(keySet, "image", Date.now()),
  };
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

/**
 * Where an OCI image is said to be published until its publisher names a repository of its own: container engines compare the name in the
 * older signatures with the one that they pull.
 */
export const LOCAL_IMAGE_REPOSITORY = "localhost/secai-os";

/** Signs the OCI layout of a release, when it has one, with the keys of the image role. @throws OciSignError, SignError */
export async function signImageLayout(dir: string, { image }: Pick<Signers, "image">): Promise<void> {
  const there = await stat(join(dir, OCI_INDEX_FILE)).catch(() => undefined);
  if (there === undefined || image.length === 0) return;
  const layout = join(dir, dirname(OCI_INDEX_FILE));
  await signOciLayout(layout, { reference: LOCAL_IMAGE_REPOSITORY, signers: image.map(keySigner) });
}
