import { type Sha256, sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import {
  certificateDer,
  certificateList,
  guidBytes,
  placeholderDbx,
  saysSecureBootOff,
  secureBootOffDigest,
  secureBootPcr,
  variableEvent,
} from "./secure-boot.ts";

const owner = "01234567-89ab-cdef-0123-456789abcdef";
const state = { ownerGuid: owner, PK: Buffer.from("PK"), KEK: Buffer.from("KEK"), dbx: Buffer.alloc(0) };
const [one, two] = [Buffer.from("one"), Buffer.from("two")];

const malformed = [
  "",
  "01234567-89AB-cdef-0123-456789abcdef",
  "{01234567-89ab-cdef-0123-456789abcdef}",
  "0123456789abcdef",
  `${owner}\n`,
];
for (const text of malformed) {
  test(`guidBytes rejects ${JSON.stringify(text)}`, () =>
    expect(() => guidBytes(text)).toThrow(expect.objectContaining({ code: "GUID_MALFORMED" })));
}

test("the first three fields of a GUID are little-endian", () =>
  expect(guidBytes(owner).toString("hex")).toBe("67452301ab89efcd0123456789abcdef"));

test("a certificate's signature list has the layout of UEFI 2.10 §32.4.1", () => {
  const list = certificateList(owner, one);
  expect(list.subarray(0, 16).toString("hex")).toBe("a159c0a5e494a74a87b5ab155c2bf072");
  expect([list.readUInt32LE(16), list.readUInt32LE(20), list.readUInt32LE(24)]).toEqual([47, 0, 19]);
  expect(list.subarray(28, 44)).toEqual(guidBytes(owner));
  expect(list.subarray(44)).toEqual(one);
});

test("the placeholder in dbx is the one virt-fw-vars writes", () =>
  expect(placeholderDbx().toString("hex")).toBe(
    "2616c4c14c509240aca941f9369343284c0000000000000030000000a3a8baa01d04a848bc87c36d121b5e3de3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  ));

test("a second key, another order, another dbx and another authority each change PCR 7", () => {
  const values = [
    { ...state, db: [one], authorities: [one] },
    { ...state, db: [one, two], authorities: [one] },
    { ...state, db: [two, one], authorities: [one] },
    { ...state, db: [one, two], authorities: [one, two] },
    { ...state, db: [one, two], authorities: [two] },
    { ...state, db: [one], authorities: [one], dbx: placeholderDbx() },
  ].map(secureBootPcr);
  expect(new Set(values).size).toBe(values.length);
});

test("certificateDer rejects what is no certificate", () => {
  expect(() => certificateDer(Buffer.from("-----BEGIN CERTIFICATE-----\n"))).toThrow(
    expect.objectContaining({ code: "CERTIFICATE_MALFORMED" }),
  );
  expect(() => certificateDer(Buffer.alloc(100_000))).toThrow(expect.objectContaining({ code: "CERTIFICATE_MALFORMED" }));
});

test("Secure Boot off and no Secure Boot variable are the same to us; on is another matter", () => {
  // As OVMF without keys measures it: the variable's name, and no data.
  expect(saysSecureBootOff("ce9ce386b52e099f3019e512a0d6062d6b560efe4ff3e5661c7525e2f9c263df" as Sha256)).toBe(true);
  expect(saysSecureBootOff(secureBootOffDigest())).toBe(true);
  expect(saysSecureBootOff(sha256(variableEvent("8be4df61-93ca-11d2-aa0d-00e098032b8c", "SecureBoot", Buffer.from([1]))))).toBe(
    false,
  );
});
