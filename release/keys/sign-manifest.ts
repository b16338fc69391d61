import { keyManifestStatement } from "@secai/formats/key-manifest";
import type { SigningKey } from "@secai/sign/key-file";
import { signStatement } from "@secai/sign/sign";
import { MANIFEST_NAME, signatureName } from "./places.ts";

/** A key manifest with the signatures of its own root keys and of its predecessor's. */
export interface SignedManifest {
  readonly bytes: Buffer;
  /** By name beside keys.json. */
  readonly bundles: ReadonlyMap<string, Buffer>;
}

/** Signs with each key once, in the given order. @throws SignError; FormatError for bytes that are no key manifest */
export async function signManifest(bytes: Buffer, signers: readonly SigningKey[]): Promise<SignedManifest> {
  const statement = keyManifestStatement(bytes);
  const bundles = new Map<string, Buffer>();
  for (const [index, key] of signers.entries())
    bundles.set(signatureName(MANIFEST_NAME, index, key.fingerprint), await signStatement(statement, key));
  return { bytes, bundles };
}
