import { expect, test } from "vitest";
import { architecturesOf, cmakeArguments, codeNames, openedLibraries, requireArchitectures } from "./cuda.ts";

const differ = expect.objectContaining({ code: "GPU_ARCHITECTURES_DIFFER" });

for (const name of [
  "native",
  "all",
  "75",
  "75-Virtual",
  "75-virtual;80-real",
  "7-virtual",
  "0075-virtual",
  "75-virtual -DX=1",
  "",
])
  test(`${JSON.stringify(name)} is no architecture to compile for`, () => expect(() => codeNames([name])).toThrow(differ));

test("PTX and machine code have different names", () =>
  expect(codeNames(["80-virtual", "75-virtual", "86-real", "90a-real"])).toEqual([
    "compute_75",
    "compute_80",
    "sm_86",
    "sm_90a",
  ]));

const ptx =
  "PTX file    1: libggml-cuda.1.sm_75.ptx\nPTX file    2: libggml-cuda.2.sm_80.ptx\nPTX file  103: libggml-cuda.103.sm_75.ptx\n";

test("architectures are read from what cuobjdump prints", () => {
  expect(architecturesOf(ptx, "")).toEqual(["compute_75", "compute_80"]);
  expect(architecturesOf("", "ELF file    1: libggml-cuda.1.sm_86.cubin\n")).toEqual(["sm_86"]);
  expect(architecturesOf("cuobjdump info    : No PTX file found to extract from 'libx.so'.\n", "")).toEqual([]);
});

const otherCode = [
  { name: "none", found: [] },
  { name: "one less", found: ["compute_75"] },
  { name: "one more", found: ["compute_75", "compute_80", "sm_80"] },
  { name: "machine code for PTX", found: ["sm_75", "sm_80"] },
];
for (const { name, found } of otherCode)
  test(`a library with other code is refused: ${name}`, () =>
    expect(() => requireArchitectures(found, ["75-virtual", "80-virtual"])).toThrow(differ));

test("a library with the code that was asked for is accepted", () =>
  expect(requireArchitectures(["compute_75", "compute_80"], ["80-virtual", "75-virtual"])).toBeUndefined());

test("nothing is tuned to the machine that builds, and the cache changes only who calls the compiler", () => {
  const plain = cmakeArguments(["75-virtual"], false);
  expect(plain).toContain("-DGGML_NATIVE=OFF");
  expect(plain).toContain("-DCMAKE_CUDA_ARCHITECTURES=75-virtual");
  const cached = cmakeArguments(["75-virtual"], true);
  expect(cached.filter((argument) => !plain.includes(argument)).every((argument) => argument.endsWith("_LAUNCHER=ccache"))).toBe(
    true,
  );
});

test("PTX needs the driver's compiler", () => {
  expect(openedLibraries(["compute_75", "sm_86"])).toEqual(["libnvidia-ptxjitcompiler.so.1"]);
  expect(openedLibraries(["sm_86"])).toEqual([]);
});
