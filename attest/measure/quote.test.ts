import { generateKeyPairSync, sign } from "node:crypto";
import { parseSha256, type Sha256, sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { vectorParts } from "./fixtures/vectors.ts";
import { attributeFaults, parsePublicArea } from "./public-area.ts";
import { hasNonce, hasPcrValues, isSignedBy, parseQuote, parseQuoteSignature } from "./quote.ts";

const { message, signature, attestationKey, pcrs } = vectorParts("plain");
const other = vectorParts("addon");
const values = new Map([...pcrs].map(([index, value]) => [index, parseSha256(value)]));
const nonce = Buffer.from("00112233445566778899aabbccddeeff", "hex");

function changed(bytes: Buffer, at: number, value?: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value ?? (copy[at] ?? 0) ^ 1;
  return copy;
}

test("the quote of a real TPM holds", () => {
  const quote = parseQuote(message);
  const { key, name } = parsePublicArea(attestationKey);
  expect(isSignedBy(message, parseQuoteSignature(signature), key)).toBe(true);
  expect(hasNonce(quote, nonce)).toBe(true);
  expect(hasPcrValues(quote, values)).toBe(true);
  expect(quote.pcrs).toEqual([...pcrs.keys()].sort((a, b) => a - b));
  expect(name).toMatch(/^000b[0-9a-f]{64}$/);
});

test("no byte of a quote can change without breaking its signature or its structure", () => {
  const { key } = parsePublicArea(attestationKey);
  const signed = parseQuoteSignature(signature);
  for (let at = 0; at < message.length; at++) expect(isSignedBy(changed(message, at), signed, key), `byte ${at}`).toBe(false);
});

test("another key of the same kind did not sign it", () =>
  expect(isSignedBy(message, parseQuoteSignature(signature), parsePublicArea(other.attestationKey).key)).toBe(false));

const rejectedQuotes = [
  { name: "nothing", bytes: Buffer.alloc(0) },
  { name: "another magic", bytes: changed(message, 0) },
  { name: "a certified key instead of a quote", bytes: changed(message, 5, 0x17) },
  { name: "a trailing byte", bytes: Buffer.concat([message, Buffer.alloc(1)]) },
  { name: "a missing byte", bytes: message.subarray(0, -1) },
  { name: "a nonce longer than the message", bytes: changed(message, 6 + 36, 0xff) },
];
for (const { name, bytes } of rejectedQuotes) {
  test(`parseQuote rejects ${name}`, () =>
    expect(() => parseQuote(bytes)).toThrow(expect.objectContaining({ code: "QUOTE_MALFORMED" })));
}

/** TPMS_ATTEST by hand: whatever a TPM would never write, an attacker can. */
function attest(bitmap: string, { banks = "00000001", algorithm = "000b", safe = "01", digest = "11".repeat(32) } = {}): Buffer {
  const size = (hex: string) => (hex.length / 2).toString(16).padStart(4, "0");
  const clock = `${"00".repeat(16)}${safe}${"00".repeat(8)}`;
  const selection = `${banks}${algorithm}${(bitmap.length / 2).toString(16).padStart(2, "0")}${bitmap}`;
  return Buffer.from(`ff544347801800000000${clock}${selection}${size(digest)}${digest}`, "hex");
}

test("PCR selections are read from the least significant bit", () => {
  expect(parseQuote(attest("911880")).pcrs).toEqual([0, 4, 7, 11, 12, 23]);
});
const forged = [
  { name: "two banks", bytes: attest("911880", { banks: "00000002" }) },
  { name: "the SHA-1 bank", bytes: attest("911880", { algorithm: "0004" }) },
  { name: "32 PCRs", bytes: attest("91188001") },
  { name: "no bitmap", bytes: attest("") },
  { name: "a boolean of 2", bytes: attest("911880", { safe: "02" }) },
  { name: "a digest of 20 bytes", bytes: attest("911880", { digest: "11".repeat(20) }) },
];
for (const { name, bytes } of forged) {
  test(`parseQuote rejects ${name}`, () =>
    expect(() => parseQuote(bytes)).toThrow(expect.objectContaining({ code: "QUOTE_MALFORMED" })));
}

test("a nonce matches whole or not at all", () => {
  const quote = parseQuote(message);
  for (const near of [nonce.subarray(1), Buffer.concat([nonce, Buffer.alloc(1)]), changed(nonce, 15), Buffer.alloc(0)]) {
    expect(hasNonce(quote, near)).toBe(false);
  }
});

test("a changed, missing or swapped PCR value is noticed", () => {
  const quote = parseQuote(message);
  for (const index of values.keys()) {
    expect(hasPcrValues(quote, new Map([...values, [index, sha256("other")]]))).toBe(false);
    expect(hasPcrValues(quote, new Map([...values].filter(([key]) => key !== index)))).toBe(false);
  }
  const swapped = new Map([...values, [4, values.get(7) as Sha256], [7, values.get(4) as Sha256]]);
  expect(hasPcrValues(quote, swapped)).toBe(false);
});

const rejectedSignatures = [
  { name: "another scheme", bytes: changed(signature, 1, 0x1a) },
  { name: "SHA-1", bytes: changed(signature, 3, 0x04) },
  { name: "a trailing byte", bytes: Buffer.concat([signature, Buffer.alloc(1)]) },
  { name: "a missing byte", bytes: signature.subarray(0, -1) },
];
for (const { name, bytes } of rejectedSignatures) {
  test(`parseQuoteSignature rejects ${name}`, () =>
    expect(() => parseQuoteSignature(bytes)).toThrow(expect.objectContaining({ code: "QUOTE_SIGNATURE_MALFORMED" })));
}

test("RSASSA and RSAPSS signatures verify; a scheme of another key type never does", () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const bytes = sign("sha256", message, privateKey);
  const pss = sign("sha256", message, { key: privateKey, padding: 6, saltLength: 32 });
  expect(isSignedBy(message, { scheme: "rsassa", bytes }, publicKey)).toBe(true);
  expect(isSignedBy(message, { scheme: "rsapss", bytes: pss }, publicKey)).toBe(true);
  expect(isSignedBy(message, { scheme: "rsapss", bytes }, publicKey)).toBe(false);
  expect(isSignedBy(message, { scheme: "rsassa", bytes: pss }, publicKey)).toBe(false);
  expect(isSignedBy(message, parseQuoteSignature(signature), publicKey)).toBe(false);
  expect(isSignedBy(message, { scheme: "rsassa", bytes }, parsePublicArea(attestationKey).key)).toBe(false);
  expect(
    isSignedBy(message, { scheme: "ecdsa", r: Buffer.alloc(64), s: Buffer.alloc(64) }, parsePublicArea(attestationKey).key),
  ).toBe(false);
});

const rejectedKeys = [
  { name: "a trailing byte", bytes: Buffer.concat([attestationKey, Buffer.alloc(1)]) },
  { name: "a missing byte", bytes: attestationKey.subarray(0, -1) },
  { name: "a symmetric key", bytes: changed(attestationKey, 3, 0x25) },
  { name: "a name made with SHA-1", bytes: changed(attestationKey, 5, 0x04) },
  { name: "a point that is not on the curve", bytes: changed(attestationKey, attestationKey.length - 1) },
];
for (const { name, bytes } of rejectedKeys) {
  test(`parsePublicArea rejects ${name}`, () =>
    expect(() => parsePublicArea(bytes)).toThrow(expect.objectContaining({ code: "AK_MALFORMED" })));
}

test("an attestation key must be what TPM2_CreateAK makes", () => {
  const flags = attestationKey.readUInt32BE(6);
  const withFlags = (value: number) => {
    const bytes = Buffer.from(attestationKey);
    bytes.writeUInt32BE(value >>> 0, 6);
    return attributeFaults(parsePublicArea(bytes));
  };
  expect(withFlags(flags)).toEqual([]);
  expect(withFlags(flags & ~(1 << 16))).toEqual(["no restricted"]);
  expect(withFlags(flags & ~(1 << 1))).toEqual(["no fixedTPM"]);
  expect(withFlags(flags & ~(1 << 18))).toEqual(["no sign"]);
  expect(withFlags(flags | (1 << 17))).toEqual(["decrypt"]);
  expect(withFlags(0)).toHaveLength(5);
});
