import { constants, createHash, type KeyObject, timingSafeEqual, verify } from "node:crypto";
import type { Sha256 } from "@secai/formats/digest";
import { ByteReader } from "./byte-reader.ts";

/** Largest nonce a TPM takes in a quote with SHA-512 support (TPM2B_DATA: sizeof TPMT_HA). */
const MAX_NONCE_BYTES = 66;
const MAX_NAME_BYTES = 68;
const MAX_DIGEST_BYTES = 64;
const MAX_SIGNATURE_BYTES = 512;
const ATTEST_MAGIC = 0xff544347;
const ATTEST_QUOTE = 0x8018;
const ALG_SHA256 = 0x000b;
const ALG_RSASSA = 0x0014;
const ALG_RSAPSS = 0x0016;
const ALG_ECDSA = 0x0018;
/** PCRs a PC Client TPM has. */
const PCR_COUNT = 24;

/** TPMS_ATTEST of type quote (TPM 2.0 Library, Part 2, 10.12.12), over PCRs of the SHA-256 bank. */
export interface Quote {
  /** Qualified name of the signing key: binds it to its hierarchy and parents. */
  readonly qualifiedSigner: Uint8Array;
  readonly nonce: Uint8Array;
  /** Milliseconds the TPM has run since it was last cleared. */
  readonly clockMs: bigint;
  readonly resetCount: number;
  readonly restartCount: number;
  /** False: the clock may have gone backwards after a power cut. */
  readonly clockSafe: boolean;
  readonly firmwareVersion: bigint;
  /** Quoted PCR indexes, ascending. */
  readonly pcrs: readonly number[];
  /** SHA-256 over the quoted PCRs' values, in that order. */
  readonly pcrDigest: Sha256;
}

function selectedPcrs(reader: ByteReader): readonly number[] {
  if (reader.u32be() !== 1) reader.fail("one PCR bank", "several or none");
  if (reader.u16be() !== ALG_SHA256) reader.fail("the SHA-256 bank", "another");
  const bitmap = reader.bytes(reader.u8());
  if (bitmap.length === 0 || bitmap.length * 8 > PCR_COUNT)
    reader.fail(`a bitmap of at most ${PCR_COUNT} PCRs`, `${bitmap.length} bytes`);
  const indexes = Array.from({ length: bitmap.length * 8 }, (_, index) => index);
  return indexes.filter((index) => (((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) === 1);
}

/** @throws MeasureError QUOTE_MALFORMED, also for trailing bytes */
export function parseQuote(message: Uint8Array): Quote {
  const reader = new ByteReader(message, "QUOTE_MALFORMED");
  if (reader.u32be() !== ATTEST_MAGIC) reader.fail("a structure made by a TPM", "another magic");
  if (reader.u16be() !== ATTEST_QUOTE) reader.fail("a quote", "another attestation");
  const qualifiedSigner = reader.sized(MAX_NAME_BYTES);
  const nonce = reader.sized(MAX_NONCE_BYTES);
  const clockMs = reader.u64be();
  const resetCount = reader.u32be();
  const restartCount = reader.u32be();
  const safe = reader.u8();
  if (safe > 1) reader.fail("a boolean", `${safe}`);
  const firmwareVersion = reader.u64be();
  const pcrs = selectedPcrs(reader);
  const pcrDigest = reader.sized(MAX_DIGEST_BYTES);
  if (pcrDigest.length !== 32) reader.fail("a digest of 32 bytes", `${pcrDigest.length}`);
  reader.end();
  return {
    qualifiedSigner,
    nonce,
    clockMs,
    resetCount,
    restartCount,
    clockSafe: safe === 1,
    firmwareVersion,
    pcrs,
    pcrDigest: Buffer.from(pcrDigest).toString("hex") as Sha256,
  };
}

/** TPMT_SIGNATURE with SHA-256, in the form node:crypto verifies: IEEE P1363 for ECDSA. */
export type QuoteSignature =
  | { readonly scheme: "rsassa" | "rsapss"; readonly bytes: Uint8Array }
  | { readonly scheme: "ecdsa"; readonly r: Uint8Array; readonly s: Uint8Array };

/** @throws MeasureError QUOTE_SIGNATURE_MALFORMED, also for trailing bytes */
export function parseQuoteSignature(bytes: Uint8Array): QuoteSignature {
  const reader = new ByteReader(bytes, "QUOTE_SIGNATURE_MALFORMED");
  const scheme = reader.u16be();
  if (scheme !== ALG_RSASSA && scheme !== ALG_RSAPSS && scheme !== ALG_ECDSA) {
    return reader.fail("RSASSA, RSAPSS or ECDSA", `0x${scheme.toString(16)}`);
  }
  if (reader.u16be() !== ALG_SHA256) reader.fail("a signature over SHA-256", "another hash");
  const first = reader.sized(MAX_SIGNATURE_BYTES);
  const second = scheme === ALG_ECDSA ? reader.sized(MAX_SIGNATURE_BYTES) : new Uint8Array();
  reader.end();
  if (scheme === ALG_ECDSA) return { scheme: "ecdsa", r: first, s: second };
  return { scheme: scheme === ALG_RSASSA ? "rsassa" : "rsapss", bytes: first };
}

/** A TPM leaves out leading zeros of r and s or not; P1363 wants the field's width. Empty when a value is too long to be genuine. */
function padded(value: Uint8Array, width: number): Buffer {
  return value.length > width ? Buffer.alloc(0) : Buffer.concat([Buffer.alloc(width - value.length), value]);
}

/** Bytes of a coordinate of the NIST curves that public-area.ts lets through. */
function fieldBytes(key: KeyObject): number {
  return key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? 48 : 32;
}

/** Whether `key` signed exactly the bytes of `message`. The TPM hashes the whole TPMS_ATTEST. A scheme of another key type is false. */
export function isSignedBy(message: Uint8Array, signature: QuoteSignature, key: KeyObject): boolean {
  if (signature.scheme === "ecdsa") {
    if (key.asymmetricKeyType !== "ec") return false;
    const width = fieldBytes(key);
    const bytes = Buffer.concat([padded(signature.r, width), padded(signature.s, width)]);
    return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, bytes);
  }
  if (key.asymmetricKeyType !== "rsa") return false;
  if (signature.scheme === "rsassa") return verify("sha256", message, key, signature.bytes);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return verify("sha256", message, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_AUTO }, signature.bytes);
}

/** Whether the quote was made for this very nonce. */
export function hasNonce(quote: Quote, nonce: Uint8Array): boolean {
  return quote.nonce.length === nonce.length && timingSafeEqual(quote.nonce, nonce);
}

/** PCR values of the SHA-256 bank, by index. */
export type PcrValues = ReadonlyMap<number, Sha256>;

/** Whether `values` are the ones the quote was made over. False when one of the quoted PCRs is not among them. */
export function hasPcrValues(quote: Quote, values: PcrValues): boolean {
  const hash = createHash("sha256");
  for (const index of quote.pcrs) {
    const value = values.get(index);
    if (value === undefined) return false;
    hash.update(Buffer.from(value, "hex"));
  }
  return hash.digest("hex") === quote.pcrDigest;
}
