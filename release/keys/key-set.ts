import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { type KeyManifest, parseKeyManifest, type SigningRole } from "@secai/formats/key-manifest";
import { signedFileOf } from "@secai/formats/release-layout";
import type { LoadOptions, SigningKey } from "@secai/sign/key-file";
import { establishTrust } from "@secai/verify/trust";
import { windowRefusal } from "@secai/verify/trust-signers";
import { KeysError } from "./errors.ts";
import { finishChanges, isInterrupted } from "./journal.ts";
import { holding } from "./lock.ts";
import { HISTORY, historyName, MANIFEST_NAME } from "./places.ts";
import { type HeldKey, loadHeldKeys } from "./private-keys.ts";

/** A key manifest with its signatures, by the name it has in a release. */
export interface ManifestLink {
  readonly name: string;
  readonly bytes: Buffer;
  readonly bundles: readonly { readonly name: string; readonly bytes: Buffer }[];
}

/** The key manifests of a directory: who may sign, since when. */
export interface ManifestChain {
  readonly dir: string;
  readonly manifest: KeyManifest;
  /** Of the bytes of the current manifest: what a channel file names. */
  readonly sha256: Sha256;
  /** Oldest first, the current manifest last. */
  readonly links: readonly [ManifestLink, ...ManifestLink[]];
}

/** With the private keys at hand. */
export interface KeySet extends ManifestChain {
  readonly held: ReadonlyMap<Sha256, HeldKey>;
}

/**
 * The key manifests and private keys of a directory; undefined when it has no key manifest.
 * @throws KeysError KEY_SET_BROKEN; SignError; FormatError for a manifest that no reader accepts
 */
export async function loadKeySet(dir: string, options: LoadOptions = {}): Promise<KeySet | undefined> {
  const chain = await loadChain(dir);
  return chain && { ...chain, held: await loadHeldKeys(dir, options) };
}

/** Without opening a private key. @throws KeysError KEY_SET_BROKEN; FormatError */
export async function loadChain(dir: string): Promise<ManifestChain | undefined> {
  if (isInterrupted(dir)) await holding(dir, () => finishChanges(dir));
  const current = await readLink(dir, MANIFEST_NAME);
  if (current === undefined) return undefined;
  const manifest = parseKeyManifest(current.bytes);
  const older: ManifestLink[] = [];
  for (let version = 1; version < manifest.version; version++) {
    const link = await readLink(dir, historyName(version));
    if (link === undefined) throw new KeysError("KEY_SET_BROKEN", { expected: historyName(version), actual: "no such file" });
    older.push(link);
  }
  const [first = current, ...others] = [...older, current];
  requireChain([first, ...others]);
  return { dir, manifest, sha256: sha256(current.bytes), links: [first, ...others] };
}

/** What the user's own directory says must hold for everybody who trusts its first manifest. */
function requireChain(links: ManifestChain["links"]): void {
  const result = establishTrust(linksForVerifier(links), { kind: "manifest", bytes: links[0].bytes }, Date.now());
  if (result.state === "refused")
    throw new KeysError("KEY_SET_BROKEN", {
      expected: `${result.expected} (${result.code})`,
      actual: `${result.actual} in ${result.link ?? links[0].name}`,
    });
}

/** As a verifier finds them. */
export const linksForVerifier = (links: readonly ManifestLink[]) =>
  links.map(({ name, bytes, bundles }) => ({ name, bytes, bundles: bundles.map((bundle) => bundle.bytes) }));

/** Everything that a release shows of the manifests, by name in the release. */
export function releaseFilesOf({ links }: Pick<KeySet, "links">): Readonly<Record<string, Buffer>> {
  const files = links.flatMap(({ name, bytes, bundles }) => [{ name, bytes }, ...bundles]);
  return Object.fromEntries(files.map(({ name, bytes }) => [name, bytes]));
}

/** Keys at hand that the current manifest names for the role and whose time it is, in the order in which they sign. */
export function signersFor(
  { manifest, held }: Pick<KeySet, "manifest" | "held">,
  role: SigningRole,
  atMs: number,
): readonly SigningKey[] {
  const named = new Set(manifest.roles[role].keys);
  const usable = [...held.values()].filter(
    ({ key: { fingerprint } }) => named.has(fingerprint) && windowRefusal(manifest, fingerprint, atMs) === undefined,
  );
  return usable.map(({ key }) => key);
}

async function readLink(dir: string, name: string): Promise<ManifestLink | undefined> {
  const bytes = await read(join(dir, name));
  if (bytes === undefined) return undefined;
  const folder = name.startsWith(`${HISTORY}/`) ? HISTORY : "";
  const entries = (await readdir(join(dir, folder))).map((entry) => join(folder, entry)).sort();
  const bundles = entries.filter((entry) => signedFileOf(entry) === name);
  return {
    name: `keys/${name}`,
    bytes,
    bundles: await Promise.all(
      bundles.map(async (entry) => ({ name: `keys/${entry}`, bytes: await readFile(join(dir, entry)) })),
    ),
  };
}

async function read(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
