import { DAY_MS, instantMs } from "@secai/formats/instant";
import { KEY_ROLES, type KeyRole } from "@secai/formats/key-manifest";
import type { ManifestChain } from "./key-set.ts";
import { tagOf } from "./places.ts";

/** A key in one of its roles. */
export interface KeyStatus {
  readonly role: KeyRole;
  readonly fingerprint: string;
  readonly algorithm: string;
  readonly validFrom: string;
  readonly validUntil: string;
  /** Whole days; negative when the key is past its time. */
  readonly daysLeft: number;
  /** The file of the private key, where it is at hand. Known of keys that sign files only. */
  readonly file: string | undefined;
}

export interface KeysStatus {
  readonly directory: string;
  readonly version: number;
  readonly sha256: string;
  readonly issued: string;
  readonly signatures: string;
  readonly thresholds: Readonly<Record<KeyRole, number>>;
  readonly keys: readonly KeyStatus[];
  readonly revoked: readonly { readonly fingerprint: string; readonly at: string; readonly reason: string }[];
}

export function statusOf(chain: ManifestChain, files: ReadonlyMap<string, string>, nowMs: number): KeysStatus {
  const { manifest } = chain;
  const thresholds = Object.fromEntries(KEY_ROLES.map((role) => [role, manifest.roles[role].threshold])) as Record<
    KeyRole,
    number
  >;
  const keys = KEY_ROLES.flatMap((role) =>
    manifest.roles[role].keys.map((fingerprint): KeyStatus => {
      const { algorithm = "", validFrom = "", validUntil = "" } = manifest.keys[fingerprint] ?? {};
      const daysLeft = Math.floor((instantMs(validUntil) - nowMs) / DAY_MS);
      return { role, fingerprint, algorithm, validFrom, validUntil, daysLeft, file: files.get(fingerprint) };
    }),
  );
  const { version, issued, signatures, revoked } = manifest;
  return { directory: chain.dir, version, sha256: chain.sha256, issued, signatures, thresholds, keys, revoked };
}

export function statusText(status: KeysStatus): string {
  const rows = status.keys.map(({ role, fingerprint, algorithm, validUntil, daysLeft, file }) => {
    const time = daysLeft < 0 ? `EXPIRED ${validUntil.slice(0, 10)}` : `${daysLeft} days left`;
    return `  ${role.padEnd(11)} ${fingerprint} ${algorithm.padEnd(10)} ${time}${file === undefined ? "" : `, ${file}`}`;
  });
  const thresholds = KEY_ROLES.filter((role) => status.thresholds[role] > 1).map(
    (role) => `${status.thresholds[role]} of role ${role} must sign`,
  );
  return [
    `key manifest version ${status.version} in ${status.directory}`,
    `issued ${status.issued}, SHA-256 ${status.sha256}, signatures ${status.signatures}`,
    ...thresholds,
    ...rows,
    ...status.revoked.map(({ fingerprint, at, reason }) => `  revoked     ${tagOf(fingerprint)}… ${at}: ${reason}`),
    "",
  ].join("\n");
}
