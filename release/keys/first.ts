import type { Sha256 } from "@secai/formats/digest";
import { DAY_MS, instantMs, instantOf } from "@secai/formats/instant";
import { type KeyManifest, type ManifestKey, publicKeyFacts, type SignatureMode } from "@secai/formats/key-manifest";
import type { DeviceKeys } from "./device-keys.ts";

/** Public keys in PEM for each role of a first manifest, and how many of root must agree. */
export interface FirstKeys {
  readonly root: readonly string[];
  readonly rootThreshold: number;
  /** Of release, image and channel alike. */
  readonly release: readonly string[];
  readonly devices: DeviceKeys;
  readonly signatures: SignatureMode;
}

/** How long the keys of a manifest are valid, in days from its issue. */
export interface Windows {
  readonly rootDays: number;
  readonly signingDays: number;
}

/** Keys of a developer: nobody is told to rely on them, so nothing is won by letting them end. */
export const DEVELOPMENT_WINDOWS: Windows = { rootDays: 3650, signingDays: 3650 };

/** Version 1: what it says is everybody's to believe or not, since nothing came before it. */
export function firstManifest(keys: FirstKeys, issuedMs: number, windows: Windows): KeyManifest {
  const { root, release, devices } = keys;
  const issued = instantOf(issuedMs);
  const entries = new Map<Sha256, ManifestKey>();
  const role = (pems: readonly string[], threshold: number, days: number) => ({
    threshold,
    keys: pems.map((pem) => {
      const { fingerprint, key } = manifestKey(pem, issued, days);
      if (!entries.has(fingerprint)) entries.set(fingerprint, key);
      return fingerprint;
    }),
  });
  const roles = {
    root: role(root, keys.rootThreshold, windows.rootDays),
    release: role(release, 1, windows.signingDays),
    image: role(release, 1, windows.signingDays),
    channel: role(release, 1, windows.signingDays),
    "secure-boot": role(devices["secure-boot"], 1, windows.rootDays),
    pcr: role(devices.pcr, 1, windows.rootDays),
  };
  return {
    schema: 1,
    version: 1,
    issued,
    keys: Object.fromEntries(entries),
    roles,
    revoked: [],
    signatures: keys.signatures,
    predecessor: null,
  };
}

/** A key as a manifest names it, valid from `issued` for so many days. @throws FormatError KEY_MALFORMED */
export function manifestKey(
  pem: string,
  issued: string,
  days: number,
): { readonly fingerprint: Sha256; readonly key: ManifestKey } {
  const { fingerprint, algorithm } = publicKeyFacts(pem);
  const validUntil = instantOf(instantMs(issued) + days * DAY_MS);
  return { fingerprint, key: { algorithm, publicKey: pem, validFrom: issued, validUntil } };
}
