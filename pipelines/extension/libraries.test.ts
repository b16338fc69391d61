import fc from "fast-check";
import { expect, test } from "vitest";
import { type ElfFile, missingLinks, parseReadelf } from "./libraries.ts";

const FOLDER = "usr/lib/x86_64-linux-gnu";
const elf = (path: string, needed: readonly string[], soname?: string): ElfFile => ({ path, soname, needed });
const links = (files: readonly ElfFile[], image: readonly string[] = []) =>
  missingLinks(files, FOLDER, new Set(image), new Set(files.map(({ path }) => path)));

test("a needed library that is nowhere is refused with who needs it", () => {
  const actual = "libgone.so.1 (needed by /usr/bin/x)";
  expect(() => links([elf("usr/bin/x", ["libgone.so.1", "libc.so.6"])], ["libc.so.6"])).toThrow(
    expect.objectContaining({ code: "EXTENSION_LIBRARY_MISSING", actual }),
  );
});

test("a library outside the loader's folder gets a link there, once", () => {
  const driver = elf(`${FOLDER}/nvidia/current/libcuda.so.550`, [], "libcuda.so.1");
  const users = [elf("usr/lib/a.so", ["libcuda.so.1"]), elf("usr/lib/b.so", ["libcuda.so.1"])];
  expect(links([driver, ...users])).toEqual([{ path: `${FOLDER}/libcuda.so.1`, target: driver.path }]);
});

test("what lies in the loader's folder, beside its user or in the image needs none", () => {
  const files = [
    elf(`${FOLDER}/libz.so.1`, [], "libz.so.1"),
    elf("usr/lib/p/x.so", ["libz.so.1", "liby.so", "libc.so.6"]),
    elf("usr/lib/p/liby.so", []),
  ];
  expect(links(files, ["libc.so.6"])).toEqual([]);
});

test("the runtime's own libraries are left to the image", () => {
  expect(links([elf("usr/lib/secure-ai/backends/vulkan/libggml-vulkan.so", ["libggml-base.so"])])).toEqual([]);
});

test("readelf's words are read file by file", () => {
  const output = `File: /t/usr/lib/a.so

Dynamic section at offset 0x1 contains 3 entries:
  Tag        Type                         Name/Value
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000000e (SONAME)             Library soname: [liba.so.1]
File: /t/usr/bin/static

There is no dynamic section in this file.
`;
  expect(parseReadelf(output, "/t")).toEqual([
    { path: "usr/lib/a.so", soname: "liba.so.1", needed: ["libc.so.6"] },
    { path: "usr/bin/static", soname: undefined, needed: [] },
  ]);
  fc.assert(fc.property(fc.string(), (text) => void parseReadelf(`File: /t/x\n${text}`, "/t")));
});
