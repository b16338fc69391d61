import fc from "fast-check";
import { expect, test } from "vitest";
import { makeElf } from "./elf.test-data.ts";
import { looksLikeElf, parseElf } from "./elf.ts";
import { BackendError } from "./errors.ts";

const good = makeElf({
  soname: "libggml-cuda.so",
  needed: ["libggml-base.so"],
  runpath: "$ORIGIN/../../runtime",
  defined: ["a"],
});

/** The good library with one field of it changed. */
function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(good);
  change(bytes);
  return bytes;
}

const rejected: readonly { readonly name: string; readonly bytes: Buffer }[] = [
  { name: "nothing", bytes: Buffer.alloc(0) },
  { name: "half a header", bytes: good.subarray(0, 63) },
  { name: "another magic", bytes: changed((bytes) => bytes.write("\x7fELG", "latin1")) },
  { name: "a 32-bit library", bytes: changed((bytes) => bytes.writeUInt8(1, 4)) },
  { name: "a big-endian library", bytes: changed((bytes) => bytes.writeUInt8(2, 5)) },
  { name: "an object file", bytes: changed((bytes) => bytes.writeUInt16LE(1, 16)) },
  { name: "program headers beyond the file", bytes: changed((bytes) => bytes.writeBigUInt64LE(1n << 40n, 32)) },
  { name: "program headers beyond any file", bytes: changed((bytes) => bytes.writeBigUInt64LE(1n << 63n, 32)) },
  { name: "program headers of another size", bytes: changed((bytes) => bytes.writeUInt16LE(55, 54)) },
  { name: "no program headers", bytes: changed((bytes) => bytes.writeUInt16LE(0, 56)) },
  { name: "no loaded segment", bytes: changed((bytes) => bytes.writeUInt32LE(4, 64)) },
  { name: "no dynamic segment", bytes: changed((bytes) => bytes.writeUInt32LE(4, 64 + 56)) },
  { name: "a dynamic segment without an end", bytes: changed((bytes) => bytes.writeBigUInt64LE(16n, 64 + 56 + 32)) },
  { name: "a name outside the strings", bytes: changed((bytes) => bytes.writeBigUInt64LE(1n << 20n, 64 + 112 + 8)) },
  { name: "sections beyond the file", bytes: changed((bytes) => bytes.writeBigUInt64LE(BigInt(good.length), 40)) },
  { name: "the end cut off", bytes: good.subarray(0, good.length - 1) },
];
for (const { name, bytes } of rejected)
  test(`parseElf refuses ${name}`, () =>
    expect(() => parseElf(bytes)).toThrow(expect.objectContaining({ code: "ELF_MALFORMED" })));

test("parseElf reads what the loader reads", () => {
  const elf = parseElf(
    makeElf({
      machine: 183,
      soname: "libx.so.1",
      needed: ["libb.so.2", "liba.so.1"],
      runpath: "$ORIGIN/../lib:/opt/lib:",
      rpath: "/old",
      defined: ["have"],
      undefined: ["want"],
      weak: ["may"],
    }),
  );
  expect(elf).toEqual({
    machine: 183,
    soname: "libx.so.1",
    needed: ["libb.so.2", "liba.so.1"],
    runpath: ["$ORIGIN/../lib", "/opt/lib"],
    defined: new Set(["have"]),
    undefined: new Set(["want"]),
  });
});

test("DT_RPATH counts where there is no DT_RUNPATH, and a name is not needed", () =>
  expect(parseElf(makeElf({ rpath: "/old" }))).toMatchObject({ soname: undefined, runpath: ["/old"] }));

test("a file is told by its first bytes", () => {
  expect(looksLikeElf(good)).toBe(true);
  expect(looksLikeElf(Buffer.from("!<arch>\n"))).toBe(false);
  expect(looksLikeElf(Buffer.from("\x7fE"))).toBe(false);
});

test("whatever the bytes, parseElf returns or throws BackendError", () => {
  const damaged = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
    .map((changes) => changed((bytes) => changes.forEach(([at, value]) => void bytes.writeUInt8(value, at))));
  fc.assert(
    fc.property(damaged, (bytes) => {
      try {
        parseElf(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(BackendError);
      }
    }),
    { numRuns: 2000 },
  );
});
