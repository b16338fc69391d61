import fc from "fast-check";
import { expect, test } from "vitest";
import { LockError } from "./errors.ts";
import { parseIndexEntry, parsePackagesIndex } from "./packages-index.ts";
import { parseReleaseFile } from "./release-file.ts";
import { paragraphs, parseStanza } from "./stanza.ts";

const hash = "ab".repeat(32);
const stanza = `Package: bash
Version: 5.2.37-2+b5
Architecture: amd64
Essential: yes
Description: GNU Bourne Again SHell
 More of it.
Filename: pool/main/b/bash/bash_5.2.37-2+b5_amd64.deb
Size: 1500000
SHA256: ${hash}`;

test("an entry of an index", () => {
  expect(parseIndexEntry(stanza)).toEqual({
    name: "bash",
    version: "5.2.37-2+b5",
    architecture: "amd64",
    path: "pool/main/b/bash/bash_5.2.37-2+b5_amd64.deb",
    size: 1500000,
    sha256: hash,
    essential: true,
  });
});

const rejected: readonly { readonly name: string; readonly change: readonly [string, string] }[] = [
  { name: "no name", change: ["Package: bash\n", ""] },
  { name: "a name with a slash", change: ["Package: bash", "Package: ba/sh"] },
  { name: "an option for a name", change: ["Package: bash", "Package: -oDir::Etc=x"] },
  { name: "an upper-case name", change: ["Package: bash", "Package: Bash"] },
  { name: "two versions", change: ["Version:", "Version: 1\nVersion:"] },
  { name: "two versions of different case", change: ["Version:", "version: 1\nVersion:"] },
  { name: "a version with a blank", change: ["5.2.37-2+b5\nArch", "5.2 37\nArch"] },
  { name: "an absolute path", change: ["pool/main", "/pool/main"] },
  { name: "a path that climbs", change: ["pool/main", "pool/../.."] },
  { name: "a path with an empty segment", change: ["pool/main", "pool//main"] },
  { name: "a path with a dot segment", change: ["pool/main", "pool/./main"] },
  { name: "a path with a query", change: ["amd64.deb", "amd64?x.deb"] },
  { name: "a path with an escape", change: ["pool/main", "pool/%2e%2e"] },
  { name: "another kind of file", change: ["amd64.deb", "amd64.udeb.exe"] },
  { name: "no size", change: ["Size: 1500000\n", ""] },
  { name: "size zero", change: ["1500000", "0"] },
  { name: "a negative size", change: ["1500000", "-1"] },
  { name: "a size in hex", change: ["1500000", "0x10"] },
  { name: "a size of 4 GiB and more", change: ["1500000", "4294967297"] },
  { name: "a short digest", change: [hash, hash.slice(1)] },
  { name: "an upper-case digest", change: [hash, hash.toUpperCase()] },
  { name: "a digest with a blank after it", change: [hash, `${hash} `] },
  { name: "a continuation first", change: ["Package", " x\nPackage"] },
  { name: "a line without a colon", change: ["Essential: yes", "Essential yes"] },
  { name: "a NUL in a field's name", change: ["Essential", "Essen\0tial"] },
];

for (const { name, change } of rejected) {
  test(`an entry with ${name} is refused`, () => {
    const text = stanza.replace(...change);
    expect(text).not.toBe(stanza);
    expect(() => parseIndexEntry(text)).toThrow(expect.objectContaining({ code: "LOCK_ARCHIVE_MALFORMED" }));
  });
}

test("a paragraph of more than 1 MiB is refused", () => {
  expect(() => parseStanza(`A: ${"x".repeat(1 << 20)}`)).toThrow(expect.objectContaining({ code: "LOCK_ARCHIVE_MALFORMED" }));
});

test("an index is its paragraphs, however they are spaced", () => {
  expect(parsePackagesIndex(`\n\n${stanza}\n\n\n${stanza}\n`)).toHaveLength(2);
  expect(parsePackagesIndex("")).toEqual([]);
  expect([...paragraphs("a\n\nb")]).toEqual(["a", "b"]);
});

test("one bad entry spoils the index", () => {
  expect(() => parsePackagesIndex(`${stanza}\n\nPackage: x\n`)).toThrow(LockError);
});

test("parseStanza returns or throws LockError, nothing else", () => {
  const line = fc.oneof(fc.string(), fc.constantFrom(" x", "A: b", "a: c", "", "\t", ": x", "A:"));
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        parseStanza(lines.join("\n"));
      } catch (error) {
        expect(error).toBeInstanceOf(LockError);
      }
    }),
  );
});

test("what is printed is parsed back", () => {
  const name = fc.stringMatching(/^[A-Z][a-z]{0,8}$/);
  const value = fc.stringMatching(/^[!-~]{0,20}$/);
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key.toLowerCase(), minLength: 1 }), (fields) => {
      const text = fields.map(([key, content]) => `${key}: ${content}`).join("\n");
      expect([...parseStanza(text)]).toEqual(fields.map(([key, content]) => [key.toLowerCase(), content]));
    }),
  );
});

test("an index of any bytes is parsed or refused", () => {
  const part = fc.constantFrom(
    "Package: a1",
    "Version: 1",
    "Size: 5",
    `SHA256: ${hash}`,
    "\n",
    "Filename: a.deb",
    "Architecture: all",
    " ",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(part).map((parts) => parts.join("\n")),
      ),
      (text) => {
        try {
          parsePackagesIndex(text);
        } catch (error) {
          expect(error).toBeInstanceOf(LockError);
        }
      },
    ),
  );
});

const release = `Origin: Debian
Suite: stable
Codename: trixie
Date: Sat, 12 Sep 2026 07:55:41 UTC
Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC
Acquire-By-Hash: yes
SHA256:
 ${hash}   1234 main/binary-amd64/Packages
 ${hash}    123 main/binary-amd64/Packages.xz
`;

test("a release file", () => {
  const parsed = parseReleaseFile(release);
  expect(parsed).toMatchObject({
    suite: "stable",
    codename: "trixie",
    byHash: true,
    date: Date.UTC(2026, 8, 12, 7, 55, 41) / 1000,
  });
  expect(parsed.validUntil).toBe(parsed.date + 7 * 86400);
  expect(parsed.files.get("main/binary-amd64/Packages")).toEqual({ sha256: hash, size: 1234 });
});

const badReleases: readonly { readonly name: string; readonly change: readonly [string, string] }[] = [
  { name: "no date", change: ["Date: Sat, 12 Sep 2026 07:55:41 UTC\n", ""] },
  { name: "a date in another zone", change: ["07:55:41 UTC\nV", "07:55:41 +0200\nV"] },
  { name: "a date that is none", change: ["12 Sep 2026 07:55:41 UTC\nV", "99 Sep 2026 07:55:41 UTC\nV"] },
  { name: "an unreadable end of validity", change: ["Valid-Until: Sat", "Valid-Until: Some"] },
  { name: "no digests", change: ["SHA256:", "MD5Sum:"] },
  { name: "a digest that is not one", change: [` ${hash}   1234`, " abc   1234"] },
  { name: "a file twice", change: ["Packages.xz", "Packages"] },
  { name: "a size that is not one", change: ["1234", "12x4"] },
];
for (const { name, change } of badReleases) {
  test(`a release file with ${name} is refused`, () => {
    const text = release.replace(...change);
    expect(text).not.toBe(release);
    expect(() => parseReleaseFile(text)).toThrow(expect.objectContaining({ code: "LOCK_ARCHIVE_MALFORMED" }));
  });
}
