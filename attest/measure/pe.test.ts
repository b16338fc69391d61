import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { authenticodeSha256 } from "./authenticode.ts";
import { buildPe, FIELD, ukiSections } from "./fixtures/pe.ts";
import { parsePe, sectionContent } from "./pe.ts";

const sections = ukiSections();
const signed = buildPe(sections, 16);

function poked(offset: number, value: number, width: 2 | 4 = 4): Buffer {
  const bytes = Buffer.from(signed);
  if (width === 2) bytes.writeUInt16LE(value, offset);
  else bytes.writeUInt32LE(value, offset);
  return bytes;
}

const rejected = [
  { name: "an empty file", bytes: Buffer.alloc(0) },
  { name: "a shell script", bytes: Buffer.from("#!/bin/sh\n".padEnd(1024)) },
  { name: "a PE header beyond the end", bytes: poked(0x3c, 0xffffffff) },
  { name: "another PE signature", bytes: poked(0x80, 0x4551) },
  { name: "a 32-bit program", bytes: poked(0x98, 0x10b, 2) },
  { name: "no sections", bytes: poked(FIELD.sectionCount, 0, 2) },
  { name: "97 sections", bytes: poked(FIELD.sectionCount, 97, 2) },
  { name: "an optional header of another size", bytes: poked(0x80 + 20, 232, 2) },
  { name: "four data directories", bytes: poked(FIELD.directoryCount, 4) },
  { name: "headers that end before the section table", bytes: poked(FIELD.sizeOfHeaders, 512) },
  { name: "headers that end after the first section", bytes: poked(FIELD.sizeOfHeaders, 1536) },
  { name: "a section that overlaps another", bytes: poked(FIELD.firstSection + 40 + 20, 1024) },
  { name: "a gap between sections", bytes: poked(FIELD.firstSection + 5 * 40 + 20, 9999) },
  { name: "a section beyond the end", bytes: poked(FIELD.firstSection + 5 * 40 + 16, 0x10000) },
  { name: "a section name with control characters", bytes: poked(FIELD.firstSection, 0x0a0a0a0a) },
  { name: "a certificate table before the end", bytes: poked(FIELD.certificateEntry + 4, 8) },
  { name: "a certificate table beyond the end", bytes: poked(FIELD.certificateEntry + 4, 24) },
  { name: "a certificate table inside a section", bytes: poked(FIELD.certificateEntry, 1024) },
  { name: "a certificate table of size zero", bytes: poked(FIELD.certificateEntry + 4, 0) },
  { name: "bytes after the certificate table", bytes: Buffer.concat([signed, Buffer.alloc(8)]) },
];
for (const { name, bytes } of rejected) {
  test(`parsePe rejects ${name}`, () => expect(() => parsePe(bytes)).toThrow(expect.objectContaining({ code: "PE_MALFORMED" })));
}

test("parsePe rejects a section that grows to gigabytes in memory", () => {
  const file = parsePe(poked(FIELD.firstSection + 8, 0xffffffff));
  const [section] = file.sections;
  expect(() => section && sectionContent(file, section)).toThrow(expect.objectContaining({ code: "PE_MALFORMED" }));
});

test("a section's content is as long as in memory: raw padding left out, missing bytes zero", () => {
  const file = parsePe(poked(FIELD.firstSection + 8, 1000));
  const [osrel, commandLine] = file.sections;
  expect(osrel && Buffer.from(sectionContent(file, osrel)).toString("latin1")).toBe("ID=test\n".padEnd(1000, "\0"));
  expect(commandLine && sectionContent(file, commandLine).length).toBe(sections[1]?.content.length);
});

test("signing, the checksum and the signature's place leave the Authenticode hash as it is", () => {
  const hash = authenticodeSha256(buildPe(sections));
  expect(authenticodeSha256(signed)).toBe(hash);
  expect(authenticodeSha256(buildPe(sections, 1024))).toBe(hash);
  expect(authenticodeSha256(poked(FIELD.checksum, 0x12345678))).toBe(hash);
});

test("every other byte of the content is in the Authenticode hash", () => {
  const hash = authenticodeSha256(signed);
  const content = signed.length - 16;
  const isSkipped = (at: number) =>
    (at >= FIELD.checksum && at < FIELD.checksum + 4) || (at >= FIELD.certificateEntry && at < FIELD.certificateEntry + 8);
  fc.assert(
    fc.property(fc.nat(content - 1), (at) => {
      if (isSkipped(at)) return;
      const bytes = Buffer.from(signed);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      let other: string;
      try {
        other = authenticodeSha256(bytes);
      } catch {
        return; // A header that no longer parses is refused, which is better still.
      }
      expect(other).not.toBe(hash);
    }),
  );
});

test("a file that is not a multiple of 8 bytes is hashed as if padded with zeros", () => {
  const even = buildPe(sections);
  const odd = Buffer.concat([even, Buffer.from([1, 2, 3])]);
  expect(authenticodeSha256(odd)).toBe(authenticodeSha256(Buffer.concat([odd, Buffer.alloc(5)])));
  expect(createHash("sha256").update(odd).digest("hex")).not.toBe(authenticodeSha256(odd));
});
