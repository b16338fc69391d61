import { instantMs } from "@secai/formats/instant";
import { type KeyManifest, keyManifestBytes } from "@secai/formats/key-manifest";
import type { SigningKey } from "@secai/sign/key-file";
import { rolesOf, thresholdRefusal } from "@secai/verify/trust-signers";
import { type Edit, nextManifest } from "./edit.ts";
import { KeysError } from "./errors.ts";
import type { FileChanges } from "./journal.ts";
import type { KeySet } from "./key-set.ts";
import { type SignedManifest, signManifest } from "./sign-manifest.ts";

/** A next manifest, signed, and the keys that were made for it. Nothing is written yet. */
export interface Change {
  readonly manifest: KeyManifest;
  readonly signed: SignedManifest;
  readonly made: readonly SigningKey[];
  /** Files of Secure Boot and PCR keys that take the place of those in the directory. */
  readonly devices: FileChanges["write"];
}

export interface ChangeParts {
  readonly edit: Edit;
  readonly made: readonly SigningKey[];
  readonly devices?: FileChanges["write"];
}

/** Signs the edited manifest with its own root keys and with those of the current one. @throws KeysError KEYS_ROOT_SHORT; FormatError */
export async function makeChange(set: KeySet, { edit, made, devices }: ChangeParts, nowMs: number): Promise<Change> {
  const current = set.links.at(-1) ?? set.links[0];
  const manifest = nextManifest(set.manifest, current.bytes, edit, nowMs);
  const bytes = keyManifestBytes(manifest);
  const available = [...[...set.held.values()].map(({ key }) => key), ...made];
  const own = rootSigners(manifest, available, manifest);
  const before = rootSigners(set.manifest, available, manifest).filter((key) => !own.includes(key));
  return { manifest, signed: await signManifest(bytes, [...own, ...before]), made, devices: devices ?? new Map() };
}

/** Keys at hand of the root role of `judge`, enough of them to sign `next`. */
function rootSigners(judge: KeyManifest, available: readonly SigningKey[], next: KeyManifest): readonly SigningKey[] {
  const role = rolesOf(judge, "root", instantMs(next.issued));
  const good = new Set([...role.standing.values()].flatMap((standing) => ("code" in standing ? [] : [standing.fingerprint])));
  const signers = available.filter(({ fingerprint }) => good.has(fingerprint));
  const short = thresholdRefusal({ counted: signers.map((key) => ({ bundle: "", key })) }, role);
  if (short === undefined) return signers;
  throw new KeysError("KEYS_ROOT_SHORT", { expected: `${short.expected} in version ${judge.version}`, actual: short.actual });
}
