import { generateKeyPairSync, sign } from "node:crypto";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { describe, expect, test } from "vitest";
import { isSignedPcr11, parsePcrKey, parsePcrSignatures, pcr11Policy } from "./pcr-signature.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
const value = sha256("a boot") as Sha256;
const entry = (change: Record<string, unknown> = {}, key = privateKey) => {
  const pol = pcr11Policy(value);
  return {
    pcrs: [11],
    pkfp: "00".repeat(32),
    pol,
    sig: sign("sha256", Buffer.from(pol, "hex"), key).toString("base64"),
    ...change,
  };
};
const document = (...entries: unknown[]) => Buffer.from(JSON.stringify({ sha256: entries }));

test("what the key signed is signed, in any place of the list", () => {
  expect(isSignedPcr11(parsePcrSignatures(document(entry({ pol: "11".repeat(32) }), entry())), value, publicKey)).toBe(true);
});

const unsigned: { name: string; document: Buffer }[] = [
  { name: "nothing", document: document() },
  { name: "another key", document: document(entry({}, other.privateKey)) },
  { name: "another value's policy", document: document(entry({ pol: pcr11Policy(sha256("another boot")) })) },
  { name: "another PCR", document: document(entry({ pcrs: [12] })) },
  { name: "more PCRs", document: document(entry({ pcrs: [11, 12] })) },
  { name: "another bank", document: Buffer.from(JSON.stringify({ sha1: [entry()] })) },
];
describe("is not signed by", () => {
  for (const { name, document } of unsigned)
    test(name, () => expect(isSignedPcr11(parsePcrSignatures(document), value, publicKey)).toBe(false));
});

const rejected: { name: string; bytes: Buffer }[] = [
  { name: "nothing", bytes: Buffer.alloc(0) },
  { name: "an empty table", bytes: Buffer.from("{}") },
  { name: "an unknown bank", bytes: Buffer.from('{"md5":[]}') },
  { name: "an unknown member", bytes: document(entry({ more: 1 })) },
  { name: "no policy", bytes: document(entry({ pol: undefined })) },
  { name: "a policy of 20 bytes", bytes: document(entry({ pol: "11".repeat(20) })) },
  { name: "a signature that is no base64", bytes: document(entry({ sig: "?" })) },
  { name: "65 signatures", bytes: document(...Array.from({ length: 65 }, () => entry({ sig: "AAAA" }))) },
  { name: "65 KiB", bytes: Buffer.concat([document(entry()), Buffer.alloc(65 * 1024, " ")]) },
];
describe("parsePcrSignatures rejects", () => {
  for (const { name, bytes } of rejected)
    test(name, () =>
      expect(() => parsePcrSignatures(bytes)).toThrow(expect.objectContaining({ code: "PCR_SIGNATURE_MALFORMED" })),
    );
});

const pem = (key: { export: (options: { type: "spki"; format: "pem" }) => string | Buffer }) =>
  key.export({ type: "spki", format: "pem" }).toString();
test("a key is one RSA key of 2048 bits or more, or one on P-256", () => {
  expect(parsePcrKey(pem(publicKey)).fingerprint).toMatch(/^[0-9a-f]{64}$/);
  parsePcrKey(pem(generateKeyPairSync("ec", { namedCurve: "prime256v1" }).publicKey));
  const weak = [
    pem(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey),
    pem(generateKeyPairSync("ec", { namedCurve: "secp384r1" }).publicKey),
    pem(generateKeyPairSync("ed25519").publicKey),
    `${pem(publicKey)}${pem(publicKey)}`,
    "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "",
  ];
  for (const text of weak) expect(() => parsePcrKey(text)).toThrow(expect.objectContaining({ code: "PCR_SIGNATURE_MALFORMED" }));
});
