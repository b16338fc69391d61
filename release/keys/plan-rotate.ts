import { instantOf } from "@secai/formats/instant";
import {
  KEY_ROLES,
  type KeyManifest,
  type KeyRole,
  type ManifestKey,
  type SignatureMode,
  type SigningRole,
} from "@secai/formats/key-manifest";
import { generateSigningKey } from "@secai/sign/generate-key";
import type { SigningKey } from "@secai/sign/key-file";
import { type Change, makeChange } from "./change.ts";
import { type NewDeviceKeys, newDeviceKeys } from "./device-keys.ts";
import { KeysError } from "./errors.ts";
import { manifestKey } from "./first.ts";
import type { KeySet } from "./key-set.ts";

export interface RotateOptions {
  /** How long the new keys are valid. */
  readonly days: number;
  /** Of root alone: another number of keys, another threshold. Undefined: as before. */
  readonly keys?: number;
  readonly threshold?: number;
  /** Adds ML-DSA-65 keys where the role had none. */
  readonly mlDsa?: boolean;
  /** From now on; undefined: as before, but `any` when there are ML-DSA-65 keys for the first time. */
  readonly signatures?: SignatureMode;
  /** Where new PK, KEK and db lie (secure-boot). */
  readonly from?: string;
}

/** New keys for one role; keys that have other roles too keep those. */
export async function planRotate(set: KeySet, role: KeyRole, options: RotateOptions, nowMs: number): Promise<Change> {
  if (role === "secure-boot" || role === "pcr") return rotateDevice(set, role, options, nowMs);
  const made = newKeysOf(set.manifest, role, options);
  const threshold = options.threshold ?? set.manifest.roles[role].threshold;
  const signatures = options.signatures ?? modeAfter(set.manifest.signatures, made);
  const edit = {
    replace: new Map<string, string>(),
    roles: { [role]: { threshold, keys: made.map(({ fingerprint }) => fingerprint) } },
    add: entriesOf(made, nowMs, options.days),
    signatures,
  };
  return makeChange(set, { edit, made }, nowMs);
}

const modeAfter = (before: SignatureMode, made: readonly SigningKey[]): SignatureMode =>
  before === "classical" && made.some(({ algorithm }) => algorithm === "ml-dsa-65") ? "any" : before;

/** As many of each algorithm as there were, or the number asked for. */
function newKeysOf(manifest: KeyManifest, role: SigningRole, { keys, mlDsa }: RotateOptions): readonly SigningKey[] {
  const before = (algorithm: string) =>
    manifest.roles[role].keys.filter((fingerprint) => manifest.keys[fingerprint]?.algorithm === algorithm).length;
  const [classical, postQuantum] = [before("ecdsa-p256"), before("ml-dsa-65")];
  const wanted = {
    "ecdsa-p256": keys ?? Math.max(classical, 1),
    "ml-dsa-65": postQuantum > 0 || mlDsa === true ? (keys ?? Math.max(postQuantum, classical)) : 0,
  };
  return (["ecdsa-p256", "ml-dsa-65"] as const).flatMap((algorithm) =>
    Array.from({ length: wanted[algorithm] }, () => generateSigningKey(algorithm)),
  );
}

export function entriesOf(keys: readonly SigningKey[], nowMs: number, days: number): Readonly<Record<string, ManifestKey>> {
  return Object.fromEntries(
    keys.map(({ fingerprint, publicPem }) => [fingerprint, manifestKey(publicPem, instantOf(nowMs), days).key]),
  );
}

async function rotateDevice(
  set: KeySet,
  role: "secure-boot" | "pcr",
  { from, days }: RotateOptions,
  nowMs: number,
): Promise<Change> {
  const fresh = await newDeviceKeys(role, from);
  return makeChange(set, { edit: deviceEdit(set, role, fresh, nowMs, days), made: [], devices: fresh.files }, nowMs);
}

export function deviceEdit(set: KeySet, role: "secure-boot" | "pcr", { pems }: NewDeviceKeys, nowMs: number, days: number) {
  const made = pems.map((pem) => manifestKey(pem, instantOf(nowMs), days));
  return {
    replace: new Map<string, string>(),
    roles: { [role]: { threshold: set.manifest.roles[role].threshold, keys: made.map(({ fingerprint }) => fingerprint) } },
    add: Object.fromEntries(made.map(({ fingerprint, key }) => [fingerprint, key])),
  };
}

/** A role by the name that people type. @throws KeysError KEYS_USAGE */
export function parseRole(text: string | undefined): KeyRole {
  const role = KEY_ROLES.find((one) => one === text);
  if (role === undefined) throw new KeysError("KEYS_USAGE", { expected: KEY_ROLES.join(", "), actual: text ?? "nothing" });
  return role;
}
