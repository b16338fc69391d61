import { KEY_ROLES, type KeyManifest, type KeyRole } from "@secai/formats/key-manifest";
import { generateSigningKey } from "@secai/sign/generate-key";
import { type Change, makeChange } from "./change.ts";
import { newDeviceKeys } from "./device-keys.ts";
import { KeysError } from "./errors.ts";
import type { KeySet } from "./key-set.ts";
import { deviceEdit, entriesOf } from "./plan-rotate.ts";

export interface RevokeOptions {
  readonly reason: string;
  /** How long the key that takes its place is valid. */
  readonly days: number;
  /** Where new PK, KEK and db lie, when one of them is revoked. */
  readonly from?: string;
}

/** Nothing that the key ever signed counts any more; a new key of its kind has its roles from now on. @throws KeysError KEYS_USAGE */
export async function planRevoke(
  set: KeySet,
  fingerprint: string,
  { reason, days, from }: RevokeOptions,
  nowMs: number,
): Promise<Change> {
  const revoke = { fingerprint, reason };
  const algorithm = set.manifest.keys[fingerprint]?.algorithm;
  if (algorithm === "ecdsa-p256" || algorithm === "ml-dsa-65") {
    const made = generateSigningKey(algorithm);
    const replace = new Map([[fingerprint, made.fingerprint as string]]);
    return makeChange(set, { edit: { replace, add: entriesOf([made], nowMs, days), revoke }, made: [made] }, nowMs);
  }
  const role = set.manifest.roles.pcr.keys.includes(fingerprint) ? "pcr" : "secure-boot";
  const fresh = await newDeviceKeys(role, from);
  if (fresh.fingerprints.some((one) => one === fingerprint))
    throw new KeysError("KEYS_USAGE", { expected: "a new key in place of the revoked one", actual: fingerprint });
  const edit = { ...deviceEdit(set, role, fresh, nowMs, days), revoke };
  return makeChange(set, { edit, made: [], devices: fresh.files }, nowMs);
}

export const rolesOfKey = ({ roles }: KeyManifest, fingerprint: string): readonly KeyRole[] =>
  KEY_ROLES.filter((role) => roles[role].keys.includes(fingerprint));

/** A key of the manifest by its fingerprint or the first 16 digits of it. @throws KeysError KEY_UNKNOWN */
export function findKey({ keys }: KeyManifest, text: string): string {
  const matches = /^[0-9a-f]{16,64}$/.test(text) ? Object.keys(keys).filter((one) => one.startsWith(text)) : [];
  const [only, ...more] = matches;
  if (only === undefined || more.length > 0)
    throw new KeysError("KEY_UNKNOWN", { expected: "the fingerprint of one key of the manifest", actual: text });
  return only;
}
