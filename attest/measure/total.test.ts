import fc from "fast-check";
import { test } from "vitest";
import { parseAddon } from "./addon.ts";
import { parseEndorsementCertificate } from "./endorsement.ts";
import { parseEventLog } from "./event-log.ts";
import { buildPe, ukiSections } from "./fixtures/pe.ts";
import { type Damage, damaged, valueOrOwnError } from "./fixtures/total.ts";
import { vector, vectorParts } from "./fixtures/vectors.ts";
import { parseMeasurements } from "./measurements.ts";
import { parsePe } from "./pe.ts";
import { parseEndorsementKey, parsePublicArea } from "./public-area.ts";
import { parseQuote, parseQuoteSignature } from "./quote.ts";
import { certificateDer } from "./secure-boot.ts";
import { parseUki } from "./uki.ts";
import { parseUserspaceLog } from "./userspace-log.ts";

/** The attestation key's public area with a storage key's parameters: AES-128 in CFB mode, no scheme. */
function endorsementKey(): Buffer {
  const area = vectorParts("plain").attestationKey.subarray(2);
  const at = 2 + 2 + 4 + 2 + Buffer.from(area).readUInt16BE(8);
  const key = Buffer.concat([area.subarray(0, at), Buffer.from("0006008000430010", "hex"), area.subarray(at + 6)]);
  return Buffer.concat([Buffer.from([key.length >> 8, key.length & 255]), key]);
}

const { eventLog, userspaceLog, message, signature, attestationKey } = vectorParts("plain");
const parsers: readonly { name: string; parse: (bytes: Uint8Array) => unknown; genuine: Uint8Array }[] = [
  { name: "parsePe", parse: parsePe, genuine: buildPe(ukiSections(), 16) },
  { name: "parseUki", parse: parseUki, genuine: buildPe(ukiSections(), 16) },
  { name: "parseAddon", parse: parseAddon, genuine: buildPe([{ name: ".cmdline", content: Buffer.from("quiet") }]) },
  { name: "parseEventLog", parse: parseEventLog, genuine: eventLog },
  { name: "parseUserspaceLog", parse: parseUserspaceLog, genuine: userspaceLog },
  { name: "parseQuote", parse: parseQuote, genuine: message },
  { name: "parseQuoteSignature", parse: parseQuoteSignature, genuine: signature },
  { name: "parsePublicArea", parse: parsePublicArea, genuine: attestationKey },
  { name: "parseEndorsementKey", parse: parseEndorsementKey, genuine: endorsementKey() },
  { name: "parseEndorsementCertificate", parse: parseEndorsementCertificate, genuine: certificateDer(vector("keys/db.crt")) },
  { name: "parseMeasurements", parse: parseMeasurements, genuine: vector("plain/measurements.json") },
  { name: "certificateDer", parse: certificateDer, genuine: vector("keys/db.crt") },
];

const change = fc.record({ at: fc.nat(1 << 20), value: fc.integer({ min: 0, max: 255 }) });
const damage = fc.record({
  changes: fc.array(change, { minLength: 1, maxLength: 4 }),
  keep: fc.double({ min: 0, max: 1, noNaN: true }),
});

for (const { name, parse, genuine } of parsers) {
  test(`${name} returns or throws a MeasureError, whatever the bytes`, () => {
    parse(genuine);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void valueOrOwnError(() => parse(bytes))));
    const tryAll = (how: Damage) => {
      for (const bytes of damaged(genuine, how)) valueOrOwnError(() => parse(bytes));
    };
    fc.assert(fc.property(damage, tryAll), { numRuns: 500 });
  });
}
