import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { parseJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { parseEventLog, replayLog } from "@secai/measure/event-log";
import { vector } from "@secai/measure/fixtures/vectors";
import { parseUserspaceLog } from "@secai/measure/userspace-log";
import { type Evidence, parseEvidence } from "@secai/verify/runtime-evidence";

// A machine whose TPM is a few lines: it signs whatever it is told, with the structures of a real one around it. Its logs and PCR values
// are those of a real boot.

export const NONCE = "00112233445566778899aabbccddeeff";
export const realEvidence = (name: "plain" | "addon"): Evidence => parseEvidence(vector(`${name}/evidence.json`));
/** Measurements of the image that the real boot ran, as one would find them in its release. */
export const realMeasurements = parseJson(vector("plain/measurements.json"), 1 << 20) as Readonly<Record<string, unknown>>;

type Quote = NonNullable<Evidence["quote"]>;
/** TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign (TPM 2.0 Part 2, 8.3). */
export const PROPER_ATTRIBUTES = 0x00050072;

const u8 = (value: number) => Buffer.from([value]);
const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
const u32 = (value: number) => Buffer.concat([u16(value >>> 16), u16(value & 0xffff)]);
const sized = (bytes: Uint8Array) => Buffer.concat([u16(bytes.length), bytes]);

export interface SoftKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** TPM2B_PUBLIC. */
  readonly publicArea: Buffer;
}

/** TPMT_PUBLIC of an ECDSA key on P-256 (TPM 2.0 Part 2, 12.2.4). */
export function makeKey(attributes = PROPER_ATTRIBUTES): SoftKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, publicKey, publicArea: publicAreaOf(publicKey, attributes) };
}

function publicAreaOf(publicKey: KeyObject, attributes: number): Buffer {
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  const [ALG_ECC, ALG_SHA256, ALG_NULL, ALG_ECDSA, P256] = [0x23, 0x0b, 0x10, 0x18, 0x03];
  const parameters = [ALG_NULL, ALG_ECDSA, ALG_SHA256, P256, ALG_NULL].map(u16);
  const point = [x, y].map((coordinate) => sized(Buffer.from(coordinate, "base64url")));
  return sized(Buffer.concat([u16(ALG_ECC), u16(ALG_SHA256), u32(attributes), sized(Buffer.alloc(0)), ...parameters, ...point]));
}

/** TPM2B_PUBLIC of a P-256 storage key, as the default template of an endorsement key makes one (TPM 2.0 Part 2, 12.2.4). */
export function endorsementKey(): Buffer {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  const [ALG_ECC, ALG_SHA256, ALG_AES, ALG_CFB, ALG_NULL, P256] = [0x23, 0x0b, 0x06, 0x43, 0x10, 0x03];
  const parameters = [ALG_AES, 128, ALG_CFB, ALG_NULL, P256, ALG_NULL].map(u16);
  const point = [x, y].map((coordinate) => sized(Buffer.from(coordinate, "base64url")));
  const head = [u16(ALG_ECC), u16(ALG_SHA256), u32(0x000300b2), sized(Buffer.alloc(32))];
  return sized(Buffer.concat([...head, ...parameters, ...point]));
}

export function withAttributes(key: SoftKey, attributes: number): Buffer {
  const changed = Buffer.from(key.publicArea);
  changed.writeUInt32BE(attributes, 6);
  return changed;
}

export interface Attested {
  readonly nonce?: string;
  readonly pcrs?: ReadonlyMap<number, Sha256>;
  /** Quoted indexes; all of `pcrs` by default. */
  readonly selected?: readonly number[];
  readonly magic?: number;
  readonly type?: number;
  readonly bank?: number;
}

/** TPMS_ATTEST (TPM 2.0 Part 2, 10.12.12). */
function attest({
  nonce = NONCE,
  pcrs = new Map(),
  selected = [...pcrs.keys()],
  magic = 0xff544347,
  type = 0x8018,
  bank = 0x0b,
}: Attested) {
  const bitmap = Buffer.alloc(3);
  for (const index of selected) bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (1 << (index & 7));
  const values = selected.toSorted((a, b) => a - b).map((index) => Buffer.from(pcrs.get(index) ?? "", "hex"));
  const signer = Buffer.concat([u16(0x0b), Buffer.from(sha256("a parent"), "hex")]);
  const clock = Buffer.concat([Buffer.alloc(8), u32(1), u32(0), u8(1), Buffer.alloc(8)]);
  const selection = Buffer.concat([u32(1), u16(bank), u8(3), bitmap]);
  const digest = Buffer.from(sha256(Buffer.concat(values)), "hex");
  return Buffer.concat([u32(magic), u16(type), sized(signer), sized(Buffer.from(nonce, "hex")), clock, selection, sized(digest)]);
}

/** TPMT_SIGNATURE with ECDSA and SHA-256 (TPM 2.0 Part 2, 11.3.4). */
export function signQuote(message: Buffer, { privateKey }: SoftKey): Buffer {
  const bytes = sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
  return Buffer.concat([u16(0x18), u16(0x0b), sized(bytes.subarray(0, 32)), sized(bytes.subarray(32))]);
}

export function quoteOf(key: SoftKey, attested: Attested & { readonly pcrs: ReadonlyMap<number, Sha256> }): Quote {
  const message = attest(attested);
  return { message, signature: signQuote(message, key), attestationKey: key.publicArea, pcrs: attested.pcrs };
}

/** PCR values that logs lead to, for those indexes that a machine quotes. */
export function replayed(eventLog: Uint8Array, userspaceLog: Uint8Array, indexes: Iterable<number>): ReadonlyMap<number, Sha256> {
  const values = replayLog(parseEventLog(eventLog), parseUserspaceLog(userspaceLog));
  return new Map([...indexes].map((index) => [index, values.get(index) ?? ("0".repeat(64) as Sha256)]));
}
