import { sha256 } from "@secai/formats/digest";
import { instantMs, instantOf } from "@secai/formats/instant";
import { KEY_ROLES, type KeyManifest, type KeyRole, type ManifestKey, type SignatureMode } from "@secai/formats/key-manifest";

/** What is to be different in the next manifest. */
export interface Edit {
  /** Fingerprint by fingerprint: the new key stands wherever the old one stood. */
  readonly replace: ReadonlyMap<string, string>;
  /** Only in these roles; undefined: in every role the old key has. */
  readonly within?: readonly KeyRole[];
  /** Roles that get other keys or another threshold, after the replacements. */
  readonly roles?: Partial<Record<KeyRole, { readonly threshold: number; readonly keys: readonly string[] }>>;
  readonly add: Readonly<Record<string, ManifestKey>>;
  readonly revoke?: { readonly fingerprint: string; readonly reason: string };
  readonly signatures?: SignatureMode;
}

/** The manifest after `current`. Keys that have no role any more are left out. */
export function nextManifest(current: KeyManifest, currentBytes: Uint8Array, edit: Edit, nowMs: number): KeyManifest {
  const issued = instantOf(Math.max(nowMs, instantMs(current.issued)));
  const roles = { ...mapRoles(current, edit), ...edit.roles };
  const used = new Set(KEY_ROLES.flatMap((role) => roles[role].keys));
  const keys = Object.entries({ ...current.keys, ...edit.add }).filter(([fingerprint]) => used.has(fingerprint));
  return {
    schema: 1,
    version: current.version + 1,
    issued,
    keys: Object.fromEntries(keys),
    roles,
    revoked: edit.revoke === undefined ? current.revoked : [...current.revoked, { ...edit.revoke, at: issued }],
    signatures: edit.signatures ?? current.signatures,
    predecessor: { version: current.version, sha256: sha256(currentBytes) },
  };
}

function mapRoles({ roles }: KeyManifest, { replace, within = KEY_ROLES }: Edit): KeyManifest["roles"] {
  const changed = (role: KeyRole) => {
    const { threshold, keys } = roles[role];
    return { threshold, keys: within.includes(role) ? keys.map((one) => replace.get(one) ?? one) : keys };
  };
  return {
    root: changed("root"),
    release: changed("release"),
    image: changed("image"),
    channel: changed("channel"),
    "secure-boot": changed("secure-boot"),
    pcr: changed("pcr"),
  };
}
