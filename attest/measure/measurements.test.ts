import { generateKeyPairSync } from "node:crypto";
import { canonicalJson } from "@secai/formats/canonical-json";
import { parseSha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { buildPe, TEST_ROOT_HASH, ukiSections } from "./fixtures/pe.ts";
import { vector } from "./fixtures/vectors.ts";
import { buildMeasurements, parseMeasurements, printMeasurements } from "./measurements.ts";

const bytes = vector("plain/measurements.json");
const genuine = parseMeasurements(bytes);

function edited(edit: (document: Record<string, unknown>) => void): Buffer {
  const document = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
  edit(document);
  return Buffer.from(`${canonicalJson(document)}\n`);
}
const inside = (document: Record<string, unknown>, name: string) => document[name] as Record<string, unknown>;

test("printing and parsing are inverse", () => {
  expect(printMeasurements(genuine)).toBe(bytes.toString("utf8"));
  expect(parseMeasurements(Buffer.from(printMeasurements(genuine)))).toEqual(genuine);
});

const rejected: { name: string; document: Buffer }[] = [
  { name: "an empty file", document: Buffer.alloc(0) },
  { name: "a missing newline", document: bytes.subarray(0, -1) },
  { name: "spaces", document: Buffer.from(JSON.stringify(JSON.parse(bytes.toString("utf8")), undefined, 1)) },
  { name: "schema 2", document: edited((it) => Object.assign(it, { schema: 2 })) },
  { name: "an unknown member", document: edited((it) => Object.assign(it, { note: "x" })) },
  {
    name: "an unknown PCR",
    document: edited((it) => Object.assign(inside(inside(it, "pcrs"), "sha256"), { "0": "00".repeat(32) })),
  },
  { name: "another bank", document: edited((it) => Object.assign(inside(it, "pcrs"), { sha1: {} })) },
  { name: "a missing PCR 12", document: edited((it) => delete inside(inside(it, "pcrs"), "sha256")["12"]) },
  { name: "an upper-case digest", document: edited((it) => Object.assign(it, { rootHash: genuine.rootHash.toUpperCase() })) },
  { name: "no db certificate", document: edited((it) => Object.assign(inside(it, "secureBoot"), { db: [] })) },
  { name: "an owner that is no GUID", document: edited((it) => Object.assign(inside(it, "secureBoot"), { ownerGuid: "us" })) },
  {
    name: "PCR 11 of an earlier phase",
    document: edited((it) => Object.assign(inside(inside(it, "pcrs"), "sha256"), { "11": genuine.pcr11Phases["enter-initrd"] })),
  },
  {
    name: "a PCR 9 without the initrd it is of",
    document: edited((it) => Object.assign(inside(inside(it, "pcrs"), "sha256"), { "9": "00".repeat(32) })),
  },
  { name: "an initrd without its PCR 9", document: edited((it) => Object.assign(it, { initrd: "00".repeat(32) })) },
  { name: "a PCR both promised and left to the site", document: edited((it) => Object.assign(it, { siteSpecificPcrs: [0, 4] })) },
  {
    name: "a PCR left to the site without a reason",
    document: edited((it) => Object.assign(it, { sitePcrs: { "0": "firmware" } })),
  },
  { name: "a command line with another root hash", document: edited((it) => Object.assign(it, { rootHash: "cd".repeat(32) })) },
  {
    name: "a command line in which the root hash is part of a word",
    document: edited((it) => Object.assign(it, { commandLine: `x${genuine.commandLine}` })),
  },
];
for (const { name, document } of rejected) {
  test(`parseMeasurements rejects ${name}`, () =>
    expect(() => parseMeasurements(document)).toThrow(expect.objectContaining({ code: "MEASUREMENTS_MALFORMED" })));
}

const key = (name: string) => vector(`keys/${name}.crt`);
const inputs = {
  designation: "dev",
  ownerGuid: genuine.secureBoot.ownerGuid,
  rootHash: parseSha256(TEST_ROOT_HASH),
  bootloader: buildPe(ukiSections(), 8),
  PK: key("PK"),
  KEK: key("KEK"),
  db: [key("db")],
};
const describeWith = (commandLine: string) => buildMeasurements({ ...inputs, uki: buildPe(ukiSections(commandLine), 8) });

test("what is built is what can be parsed", () => {
  const measurements = describeWith(`quiet roothash=${TEST_ROOT_HASH}`);
  expect(parseMeasurements(Buffer.from(printMeasurements(measurements)))).toEqual(measurements);
  expect(measurements.initrd).toBeDefined();
  expect(Object.keys(measurements.sitePcrs ?? {})).toEqual(["0", "1", "2", "3", "5", "6", "15"]);
  expect(measurements.pcrs.sha256["7"]).toBe(genuine.pcrs.sha256["7"]);
});

const wrongCommandLines = [
  "quiet",
  `roothash=${"cd".repeat(32)}`,
  `roothash=${TEST_ROOT_HASH} roothash=${"cd".repeat(32)}`,
  `xroothash=${TEST_ROOT_HASH}`,
];
for (const commandLine of wrongCommandLines) {
  test(`a UKI with ${commandLine.slice(0, 24)}... is not described as this root's`, () =>
    expect(() => describeWith(commandLine)).toThrow(expect.objectContaining({ code: "ROOT_HASH_MISMATCH" })));
}

test("a bare public key is no certificate", () => {
  const { publicKey } = generateKeyPairSync("ed25519");
  const db = [Buffer.from(publicKey.export({ type: "spki", format: "der" }))];
  const uki = buildPe(ukiSections());
  expect(() => buildMeasurements({ ...inputs, uki, db })).toThrow(expect.objectContaining({ code: "CERTIFICATE_MALFORMED" }));
  expect(() => buildMeasurements({ ...inputs, uki, db: [] })).toThrow(expect.objectContaining({ code: "CERTIFICATE_MALFORMED" }));
});
