import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { BUNDLE_MEDIA_TYPE } from "./bundle.ts";
import { canonicalJson } from "./canonical-json.ts";
import { type Sha256, sha256 } from "./digest.ts";
import { preAuthEncoding } from "./dsse.ts";
import { type KeyManifest, keyManifestStatement, type ManifestKey } from "./key-manifest.ts";
import { fingerprintOf } from "./keys.ts";
import { statementBytes } from "./statement.ts";
import { IN_TOTO_PAYLOAD_TYPE } from "./uris.ts";

/** A throwaway key pair as a manifest names it. */
export interface TestKey {
  readonly fingerprint: Sha256;
  readonly privateKey: KeyObject;
  readonly entry: ManifestKey;
}

const generators = {
  "ecdsa-p256": () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
  "ml-dsa-65": () => generateKeyPairSync("ml-dsa-65").privateKey,
  "rsa-2048": () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey,
  "rsa-3072": () => generateKeyPairSync("rsa", { modulusLength: 3072 }).privateKey,
};

/** Valid from the beginning of 2026 to its end unless told otherwise. */
export function testKey(algorithm: ManifestKey["algorithm"] = "ecdsa-p256", window: Partial<ManifestKey> = {}): TestKey {
  const privateKey = generators[algorithm]();
  const key = createPublicKey(privateKey);
  const publicKey = key.export({ type: "spki", format: "pem" }).toString();
  const entry = { algorithm, publicKey, validFrom: "2026-01-01T00:00:00Z", validUntil: "2026-12-31T00:00:00Z", ...window };
  return { fingerprint: fingerprintOf(key), privateKey, entry };
}

/** Slow to make, and never signing here: one for a whole test file. */
export const deviceKey = testKey("rsa-2048");

export interface TestManifest {
  readonly root: readonly TestKey[];
  readonly rootThreshold?: number;
  readonly release?: readonly TestKey[];
  readonly releaseThreshold?: number;
  /** Members that stand instead of those that follow from the keys. */
  readonly over?: Partial<KeyManifest>;
}

/** A manifest of these keys, version 1; release keys also have the roles image and channel. */
export function testManifest({ root, rootThreshold = 1, release = root, releaseThreshold = 1, over }: TestManifest): KeyManifest {
  const role = (keys: readonly TestKey[], threshold = 1) => ({ threshold, keys: keys.map(({ fingerprint }) => fingerprint) });
  return {
    schema: 1,
    version: 1,
    issued: "2026-02-01T00:00:00Z",
    keys: Object.fromEntries([...root, ...release, deviceKey].map(({ fingerprint, entry }) => [fingerprint, entry])),
    roles: {
      root: role(root, rootThreshold),
      release: role(release, releaseThreshold),
      image: role(release),
      channel: role(release),
      "secure-boot": role([deviceKey]),
      pcr: role([deviceKey]),
    },
    revoked: [],
    signatures: "classical",
    predecessor: null,
    ...over,
  };
}

/** Without the checks of `keyManifestBytes`: tests spoil manifests. */
export const rawBytes = (value: unknown): Buffer => Buffer.from(`${canonicalJson(value)}\n`);

const signature = (key: TestKey, data: Buffer) =>
  sign(key.entry.algorithm === "ecdsa-p256" ? "sha256" : null, data, key.privateKey).toString("base64");
const material = (key: TestKey) => ({ publicKey: { hint: Buffer.from(key.fingerprint, "hex").toString("base64") } });

/** A bundle over any statement payload. */
export function payloadBundle(payload: Buffer, key: TestKey): Buffer {
  const signatures = [{ sig: signature(key, preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload)) }];
  const dsseEnvelope = { payload: payload.toString("base64"), payloadType: IN_TOTO_PAYLOAD_TYPE, signatures };
  return rawBytes({ mediaType: BUNDLE_MEDIA_TYPE, verificationMaterial: material(key), dsseEnvelope });
}

/** A bundle over a file. */
export function messageBundle(data: Buffer, key: TestKey): Buffer {
  const messageDigest = { algorithm: "SHA2_256", digest: Buffer.from(sha256(data), "hex").toString("base64") };
  const messageSignature = { messageDigest, signature: signature(key, data) };
  return rawBytes({ mediaType: BUNDLE_MEDIA_TYPE, verificationMaterial: material(key), messageSignature });
}

/** A bundle over a key manifest's own statement. */
export const manifestBundle = (bytes: Buffer, key: TestKey): Buffer =>
  payloadBundle(statementBytes(keyManifestStatement(bytes)), key);
