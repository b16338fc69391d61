import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SilverblueError } from "./errors.ts";
import { type EntryType, readTar, type TarEntry } from "./tar-read.ts";
import { END_OF_ARCHIVE, entryHeader, padding } from "./tar-write.ts";

async function* chunksOf(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Buffer, size = 65_536): Promise<readonly (TarEntry & { readonly content: string })[]> {
  const found: (TarEntry & { content: string })[] = [];
  await readTar(chunksOf(bytes, size), async (entry, content) => {
    const parts: Buffer[] = [];
    for await (const part of content) parts.push(part);
    found.push({ ...entry, content: Buffer.concat(parts).toString("hex") });
  });
  return found;
}

const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 }).filter((text) => !/[\0\p{Cs}]/u.test(text));
const anyEntry = fc
  .record({
    path: name,
    type: fc.constantFrom<EntryType>("file", "link", "symlink", "directory"),
    mode: fc.nat(0o7777),
    uid: fc.nat(2 ** 32),
    gid: fc.nat(2 ** 32),
    link: name,
    xattrs: fc.dictionary(fc.stringMatching(/^user\.[a-z]{1,20}$/), fc.uint8Array({ maxLength: 300 }), { maxKeys: 3 }),
    content: fc.uint8Array({ maxLength: 1500 }),
  })
  .map(({ xattrs, content, link, ...rest }) => {
    const bytes = Buffer.from(rest.type === "file" ? content : []);
    const own = new Map(Object.entries(xattrs).map(([key, value]) => [key, Buffer.from(value)]));
    const entry: TarEntry = { ...rest, xattrs: own, size: bytes.length, link: /link$/.test(rest.type) ? link : "" };
    return { entry, bytes };
  });

const archive = (entries: readonly { entry: TarEntry; bytes: Buffer }[]): Buffer =>
  Buffer.concat([
    ...entries.flatMap(({ entry, bytes }) => [entryHeader(entry, 1), bytes, padding(bytes.length)]),
    END_OF_ARCHIVE,
  ]);

describe("tar", () => {
  test("what is written is what is read, in pieces of any size", () =>
    fc.assert(
      fc.asyncProperty(fc.array(anyEntry, { maxLength: 5 }), fc.integer({ min: 1, max: 2000 }), async (entries, size) => {
        const wanted = entries.map(({ entry, bytes }) => ({ ...entry, content: bytes.toString("hex") }));
        expect(await read(archive(entries), size)).toEqual(wanted);
      }),
      { numRuns: 60 },
    ));

  test("bytes are read or refused by name, never anything else", () =>
    fc.assert(
      fc.asyncProperty(fc.array(anyEntry, { minLength: 1, maxLength: 2 }), fc.nat(), fc.nat(255), async (entries, at, byte) => {
        const bytes = archive(entries);
        bytes.writeUInt8(byte, at % bytes.length);
        await read(bytes).catch((error) => expect(error).toBeInstanceOf(SilverblueError));
      }),
      { numRuns: 150 },
    ));

  const pax = (records: string): Buffer => {
    const header = entryHeader(
      { path: "x", type: "file", mode: 0, uid: 0, gid: 0, size: records.length, link: "", xattrs: new Map() },
      1,
    );
    header.write("x", 156, "latin1");
    header.write("        ", 148, "latin1");
    const sum = header.reduce((total, value) => total + value, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    const file = entryHeader({ path: "f", type: "file", mode: 0, uid: 0, gid: 0, size: 0, link: "", xattrs: new Map() }, 1);
    return Buffer.concat([header, Buffer.from(records, "latin1"), padding(records.length), file, END_OF_ARCHIVE]);
  };
  for (const [what, records] of Object.entries({
    "without a length": "path=x\n",
    "longer than it says": "8 path=xy\n",
    "without a line break": "8 path=xy",
    "with a leading zero": "09 path=x\n",
    "without a keyword": "5 =x\n\n",
    twice: "9 path=x\n9 path=y\n",
    "with an unknown keyword": "14 GNU.sparse=\n",
    "with a negative size": "11 size=-1\n",
    "with a size of many digits": "27 size=99999999999999999999\n",
  }))
    test(`a pax record ${what} is refused`, () => expect(read(pax(records))).rejects.toMatchObject({ code: "TAR_MALFORMED" }));
});
