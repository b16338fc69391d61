import { keyManifestBytes, type SignatureMode } from "@secai/formats/key-manifest";
import { generateSigningKey } from "@secai/sign/generate-key";
import type { SigningKey } from "@secai/sign/key-file";
import type { Change } from "./change.ts";
import type { DeviceKeys } from "./device-keys.ts";
import { firstManifest, type Windows } from "./first.ts";
import { signManifest } from "./sign-manifest.ts";

export interface InitOptions {
  /** How many root keys there are, and how many of them must sign together. */
  readonly rootKeys: number;
  readonly rootThreshold: number;
  /** `any` and `hybrid` come with an ML-DSA-65 release key; `hybrid` with as many ML-DSA-65 root keys as there are others. */
  readonly signatures: SignatureMode;
  readonly windows: Windows;
}

/** Version 1 with root keys of their own, so that they can be kept where nothing is built. `release` signs files and channel. */
export async function planInit(release: SigningKey, devices: DeviceKeys, options: InitOptions, nowMs: number): Promise<Change> {
  const { rootKeys, rootThreshold, signatures, windows } = options;
  const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);
  const roots = times(rootKeys, () => generateSigningKey("ecdsa-p256"));
  if (signatures === "hybrid") roots.push(...times(rootKeys, () => generateSigningKey("ml-dsa-65")));
  const further = signatures === "classical" ? [] : [generateSigningKey("ml-dsa-65")];
  const pems = (keys: readonly SigningKey[]) => keys.map(({ publicPem }) => publicPem);
  const manifest = firstManifest(
    { root: pems(roots), rootThreshold, release: pems([release, ...further]), devices, signatures },
    nowMs,
    windows,
  );
  const signed = await signManifest(keyManifestBytes(manifest), roots);
  return { manifest, signed, made: [...roots, ...further], devices: new Map() };
}
