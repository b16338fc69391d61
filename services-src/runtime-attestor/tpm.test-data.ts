import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { Sha256 } from "@secai/formats/digest";
import type { Evidence } from "@secai/verify/runtime-evidence";
import { QUOTED_PCRS } from "@secai/verify/runtime-tpm";

// A TPM in a few lines: it signs what a TPM would, with a real key.

const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
const sized = (bytes: Uint8Array) => Buffer.concat([u16(bytes.length), bytes]);
/** fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign. */
const ATTRIBUTES = 0x00050472;

export interface Clock {
  readonly resetCount: number;
  readonly restartCount: number;
  readonly clockMs: number;
  readonly safe: boolean;
}
export const firstClock: Clock = { resetCount: 3, restartCount: 0, clockMs: 60_000, safe: true };

export interface FakeTpm {
  /** TPM2B_PUBLIC. */
  readonly publicArea: Buffer;
  quote(nonce: string, pcrs: ReadonlyMap<number, Sha256>, clock?: Clock): NonNullable<Evidence["quote"]>;
}

export function createFakeTpm(): FakeTpm {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const publicArea = publicAreaOf(publicKey);
  return {
    publicArea,
    quote(nonce, pcrs, clock = firstClock) {
      const message = attest(nonce, pcrs, clock);
      return { message, signature: signatureOf(message, privateKey), attestationKey: publicArea, pcrs };
    },
  };
}

function publicAreaOf(key: KeyObject): Buffer {
  const { x = "", y = "" } = key.export({ format: "jwk" });
  const area = Buffer.concat([
    ...[u16(0x0023), u16(0x000b), u32(ATTRIBUTES), sized(Buffer.alloc(0))],
    // no symmetric part, ECDSA with SHA-256, P-256, no key derivation
    ...[u16(0x0010), u16(0x0018), u16(0x000b), u16(0x0003), u16(0x0010)],
    ...[sized(Buffer.from(x, "base64url")), sized(Buffer.from(y, "base64url"))],
  ]);
  return sized(area);
}

function attest(nonce: string, pcrs: ReadonlyMap<number, Sha256>, { clockMs, resetCount, restartCount, safe }: Clock): Buffer {
  const bitmap = Buffer.alloc(3);
  const digest = createHash("sha256");
  for (const index of QUOTED_PCRS) {
    bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (1 << (index & 7));
    digest.update(Buffer.from(pcrs.get(index) ?? "", "hex"));
  }
  return Buffer.concat([
    ...[u32(0xff544347), u16(0x8018), sized(Buffer.from("000b", "hex")), sized(Buffer.from(nonce, "hex"))],
    ...[u32(0), u32(clockMs), u32(resetCount), u32(restartCount), Buffer.from([safe ? 1 : 0]), Buffer.alloc(8)],
    ...[u32(1), u16(0x000b), Buffer.from([3]), bitmap, sized(digest.digest())],
  ]);
}

function signatureOf(message: Buffer, key: KeyObject): Buffer {
  const bytes = sign("sha256", message, { key, dsaEncoding: "ieee-p1363" });
  return Buffer.concat([u16(0x0018), u16(0x000b), sized(bytes.subarray(0, 32)), sized(bytes.subarray(32))]);
}
