import { createPublicKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { KeysError } from "./errors.ts";

/** Public keys in PEM that firmware and TPM check: the platform key, key exchange key and signature database, and the PCR policy key. */
export interface DeviceKeys {
  readonly "secure-boot": readonly string[];
  readonly pcr: readonly string[];
}

const CERTIFICATES = ["PK.crt", "KEK.crt", "db.crt"] as const;
const PCR_KEY = "pcr.pub";

/** @throws KeysError KEY_SET_INCOMPLETE */
export async function readDeviceKeys(keysDir: string): Promise<DeviceKeys> {
  return {
    "secure-boot": await Promise.all(
      CERTIFICATES.map((name) => readPublic(keysDir, name, (text) => new X509Certificate(text).publicKey)),
    ),
    pcr: [await readPublic(keysDir, PCR_KEY, createPublicKey)],
  };
}

type ReadKey = (text: string) => ReturnType<typeof createPublicKey>;

async function readPublic(keysDir: string, name: string, read: ReadKey): Promise<string> {
  try {
    return read(await readFile(join(keysDir, name), "utf8"))
      .export({ type: "spki", format: "pem" })
      .toString();
  } catch (cause) {
    throw new KeysError("KEY_SET_INCOMPLETE", {
      expected: `a public key in ${join(keysDir, name)}`,
      actual: (cause as Error).message,
      cause,
    });
  }
}
