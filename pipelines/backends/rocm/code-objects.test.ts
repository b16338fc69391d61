import fc from "fast-check";
import { expect, test } from "vitest";
import { gpusOf, requireGpus } from "./code-objects.ts";

const differ = expect.objectContaining({ code: "GPU_ARCHITECTURES_DIFFER" });
const HOST = "host-x86_64-unknown-linux--";
const gpu = (name: string) => `hipv4-amdgcn-amd-amdhsa--${name}`;

interface Entry {
  readonly name: string;
  readonly size?: number;
  readonly offset?: number;
}

const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

/** A bundle as clang-offload-bundler writes it, with code of zeros behind the table. */
function bundle(entries: readonly Entry[], count: number | bigint = entries.length): Buffer {
  const table = entries.flatMap(({ name, size = name === HOST ? 0 : 64, offset = 512 }) => [
    u64(offset),
    u64(size),
    u64(name.length),
    Buffer.from(name),
  ]);
  return Buffer.concat([Buffer.from("__CLANG_OFFLOAD_BUNDLE__"), u64(count), ...table, Buffer.alloc(1024)]);
}

const two = bundle([{ name: HOST }, { name: gpu("gfx1100") }, { name: gpu("gfx1030") }]);

const refused = [
  { name: "no bundle", library: Buffer.from("\x7fELF") },
  { name: "an empty library", library: Buffer.alloc(0) },
  { name: "the magic alone", library: two.subarray(0, 24) },
  { name: "a table that ends early", library: two.subarray(0, 60) },
  { name: "more entries than any library has", library: bundle([{ name: gpu("gfx1030") }], 2n ** 40n) },
  { name: "a number that no file is as long as", library: bundle([{ name: gpu("gfx1030") }], 2n ** 63n) },
  { name: "code behind the end", library: bundle([{ name: gpu("gfx1030"), offset: 1e6 }]) },
  { name: "code that reaches behind the end", library: bundle([{ name: gpu("gfx1030"), size: 1e6 }]) },
  { name: "source files for different GPUs", library: Buffer.concat([two, bundle([{ name: gpu("gfx1030") }])]) },
];
for (const { name, library } of refused) test(`refused: ${name}`, () => expect(() => gpusOf(library)).toThrow(differ));

test("GPUs of a library are those of each of its bundles", () =>
  expect(gpusOf(Buffer.concat([Buffer.from("\x7fELF"), two, two]))).toEqual(["gfx1030", "gfx1100"]));

test("the host's entry and an entry without code are no GPU's", () =>
  expect(gpusOf(bundle([{ name: HOST }, { name: gpu("gfx90a:xnack-") }, { name: gpu("gfx906"), size: 0 }]))).toEqual([
    "gfx90a:xnack-",
  ]));

test("any change of the table is read or refused, never anything else", () =>
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 160 }), fc.uint8Array({ minLength: 1, maxLength: 16 }), (at, noise) => {
      const library = Buffer.from(two);
      library.set(noise, at);
      try {
        expect(Array.isArray(gpusOf(library))).toBe(true);
      } catch (error) {
        expect(error).toEqual(differ);
      }
    }),
  ));

const otherCode = [
  { name: "none", found: [] },
  { name: "one less", found: ["gfx1030"] },
  { name: "one more", found: ["gfx1030", "gfx1100", "gfx906"] },
];
for (const { name, found } of otherCode)
  test(`a library with other code is refused: ${name}`, () =>
    expect(() => requireGpus(found, ["gfx1100", "gfx1030"])).toThrow(differ));

test("a library with the code that was asked for is accepted", () =>
  expect(requireGpus(["gfx1030", "gfx1100"], ["gfx1100", "gfx1030", "gfx1030"])).toBeUndefined());
