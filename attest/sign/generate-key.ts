import { generateKeyPairSync } from "node:crypto";
import type { KeyAlgorithm } from "@secai/formats/keys";
import { hasNativeMlDsa } from "@secai/formats/ml-dsa";
import { SignError } from "./errors.ts";
import { type SigningKey, toSigningKey } from "./key-file.ts";

/**
 * A new key, in memory only.
 * @throws SignError ALGORITHM_UNSUPPORTED where OpenSSL has no ML-DSA: private keys are made by nothing else
 */
export function generateSigningKey(algorithm: KeyAlgorithm): SigningKey {
  if (algorithm === "ecdsa-p256") return toSigningKey(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey, "new key");
  if (!hasNativeMlDsa()) throw new SignError("ALGORITHM_UNSUPPORTED", { expected: "ML-DSA-65", actual: process.version });
  return toSigningKey(generateKeyPairSync("ml-dsa-65").privateKey, "new key");
}
